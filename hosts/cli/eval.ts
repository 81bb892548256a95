/** @file `cohort eval`. */

import { applySet, parseConfig } from "../../core/config.ts";
import { CohortError } from "../../core/errors.ts";
import { jsonLine } from "../../core/log.ts";
import { listCheckpoints, readRunConfig } from "../../core/run.ts";
import {
  type Arguments,
  type Command,
  deviceHelp,
  deviceOf,
  deviceOptions,
  folderOf,
  type Io,
  readDeviceOptions,
  readJson,
  textOption,
} from "./command.ts";
import { evaluationJson, evaluationTable, samplesText } from "./evaluation.ts";
import { settlePaths } from "./run-paths.ts";

export const evaluate: Command = {
  summary: "pass@k and maj@k (on a data set: loss and accuracies) of a model or a run",
  help: `usage: cohort eval CONFIG.json|RUN [options]

Evaluates the model of a configuration, or the newest checkpoint of a run folder, on held-out prompts or
examples. A run's reference policy is taken from its folder.

  --checkpoint DIR     evaluate this model directory instead
  --set KEY=VALUE      override a key, as in --set evalPrompts=256 (may be repeated)
  --json               one line of JSON
${deviceHelp}
`,
  positionals: true,
  options: {
    checkpoint: { type: "string" },
    set: { type: "string", multiple: true },
    json: { type: "boolean" },
    ...deviceOptions,
  },
  run,
};

async function run(args: Arguments, io: Io): Promise<number> {
  const [path] = args.positionals;
  if (path === undefined || args.positionals.length > 1) {
    throw new CohortError("bad-input", `eval: ${args.positionals.length} paths`, "give one CONFIG.json or run folder");
  }
  let checkpoint = textOption(args, "checkpoint");
  const isRun = await io.storage.exists(`${path}/config.json`);
  const json = isRun ? await readRunConfig(io.storage, path) : await readJson(io, path);
  const sets = (args.values.set as string[] | undefined) ?? [];
  let config = parseConfig(
    { ...applySet(json, sets), ...readDeviceOptions(args) },
    { base: isRun ? io.cwd.replaceAll("\\", "/") : folderOf(io, path), where: path },
  );
  if (isRun && checkpoint === undefined) {
    checkpoint = (await listCheckpoints(io.storage, path)).at(-1)?.dir;
    if (checkpoint === undefined) {
      throw new CohortError("bad-input", `eval: ${path} has no checkpoint`, "train further, or give --checkpoint DIR");
    }
  }
  // Weights come from the checkpoint.
  if (isRun) config = await settlePaths(config, path, io, (key) => key.startsWith("task."));
  const reference = `${path}/reference`;
  const engine = await io.engine(deviceOf(config));
  try {
    const result = await engine.evaluate(config, {
      ...(checkpoint && { checkpoint }),
      ...(isRun && (await io.storage.exists(reference)) && { reference }),
      onNote: (t) => io.err(`cohort: ${t}\n`),
    });
    if (args.values.json) io.out(jsonLine(evaluationJson(result)));
    else {
      const [head, column] = result.metrics
        ? [`${result.prompts} held-out examples`, "value"]
        : [`${result.prompts} held-out prompts, ${result.samplesPerPrompt} completions each`, "value  (95 % interval)"];
      const samples = samplesText(null, result);
      io.out(`${[head, evaluationTable([[column, result]]), ...(samples ? ["", samples] : [])].join("\n")}\n`);
    }
  } finally {
    await engine.close();
  }
  return 0;
}
