/** @file `cohort reward-check`. */

import { applySet, isDataTask, parseConfig } from "../../core/config.ts";
import { CohortError } from "../../core/errors.ts";
import { readText } from "../../core/host.ts";
import { jsonLine } from "../../core/log.ts";
import { formatNumber } from "../../core/plot.ts";
import { parsePrompts } from "../../core/prompts.ts";
import { checkRewards, drawSamples, type GivenCompletion, type RewardCheck } from "../../core/reward-check.ts";
import type { Row, Sample } from "../../core/rewards/index.ts";
import { Session } from "../../core/session.ts";
import type { TaskSource } from "../../core/tasks/index.ts";
import { openModel } from "../../core/train.ts";
import {
  type Arguments,
  type Command,
  deviceHelp,
  deviceOf,
  deviceOptions,
  folderOf,
  type Io,
  numberOption,
  readDeviceOptions,
  readJson,
  textOption,
} from "./command.ts";
import { table } from "./status.ts";
import { taskSource } from "./task-source.ts";

export const rewardCheck: Command = {
  summary: "the rewards of sample completions, before training",
  help: `usage: cohort reward-check CONFIG.json [options]

Draws completions of the configuration's model for some of its prompts and shows what every reward says of them; also of the
rows' right answers, of nothing, and of a very long text. Names what promises trouble. Trains nothing, writes nothing.

  --prompts N          prompts (default: 4)
  --n N                completions of each (default: 4)
  --completions FILE   JSON lines with "completion", and "prompt" with the row's columns where it is not the first prompt's
  --no-model           without completions of the model
  --set KEY=VALUE      override a key of the configuration (may be repeated)
  --json               one line of JSON a sample, and a last line with statistics and warnings
${deviceHelp}
`,
  positionals: true,
  options: {
    prompts: { type: "string" },
    n: { type: "string" },
    completions: { type: "string" },
    "no-model": { type: "boolean" },
    set: { type: "string", multiple: true },
    json: { type: "boolean" },
    ...deviceOptions,
  },
  run,
};

async function run(args: Arguments, io: Io): Promise<number> {
  const [file] = args.positionals;
  if (file === undefined || args.positionals.length > 1) {
    throw new CohortError(
      "bad-input",
      `reward-check: ${args.positionals.length} configurations`,
      "give one CONFIG.json",
    );
  }
  const sets = (args.values.set as string[] | undefined) ?? [];
  const config = parseConfig(
    { ...applySet(await readJson(io, file), sets), ...readDeviceOptions(args) },
    { base: folderOf(io, file), where: file },
  );
  if (isDataTask(config.task)) {
    throw new CohortError("bad-input", `reward-check: ${file} trains from a data set`, "it has no rewards to check");
  }
  const task = await taskSource(config, io.storage, (text) => io.err(`cohort: ${text}\n`));
  const rows = task.prompts(
    "train",
    numberOption(args, "prompts", { min: 1, max: 1024, whole: true }) ?? 4,
    config.seed,
  );
  const given = await givenCompletions(io, textOption(args, "completions"));
  let drawn: Sample[] = [];
  if (args.values["no-model"] !== true) {
    const n = numberOption(args, "n", { min: 1, max: 1024, whole: true }) ?? 4;
    drawn = await draw(io, config, task, rows, n);
  }
  const check = await checkRewards(task, rows, drawn, given);
  if (args.values.json === true) {
    for (const sample of check.samples) io.out(jsonLine(sample));
    const { samples: _, ...rest } = check;
    io.out(jsonLine({ done: true, ...rest }));
  } else io.out(text(check, io.columns));
  return 0;
}

async function draw(
  io: Io,
  config: ReturnType<typeof parseConfig>,
  task: TaskSource,
  rows: readonly Row[],
  n: number,
): Promise<Sample[]> {
  const engine = await io.engine(deviceOf(config));
  try {
    const { runtime } = engine;
    if (!runtime) throw new CohortError("device", "reward-check: this host gives no runtime", "use --no-model");
    const loaded = await openModel(config, task, runtime);
    const session = new Session(runtime.device, runtime.numeric, loaded, config.optimizer);
    try {
      return await drawSamples(session, rows, n, config);
    } finally {
      session.close();
    }
  } finally {
    await engine.close();
  }
}

async function givenCompletions(io: Io, path: string | undefined): Promise<GivenCompletion[]> {
  if (path === undefined) return [];
  const text = await readText(io.storage, path);
  // A line without a prompt belongs to the first one: it gets a stand-in for parsePrompts.
  const lines = text
    .split("\n")
    .map((line) => (/"prompt"\s*:/.test(line) ? line : line.replace(/^\s*\{/, '{"prompt":"-",')));
  return parsePrompts(lines.join("\n"), path).map((row, i) => {
    if (typeof row.completion !== "string") {
      throw new CohortError("bad-input", `${path}, line ${i + 1}: no "completion"`, 'write {"completion": "…"}');
    }
    return row.prompt === "-" ? { completion: row.completion } : { completion: row.completion, row };
  });
}

const quote = (text: string, room: number) => {
  const line = JSON.stringify(text).slice(1, -1);
  return line.length > room ? `${line.slice(0, room - 1)}…` : line;
};

function text({ samples, statistics, frac_reward_zero_std: flat, warnings }: RewardCheck, columns: number): string {
  const names = Object.keys(statistics);
  const room = Math.max(16, Math.min(60, columns - 30 - 10 * names.length));
  const several = names.length > 1;
  const lines: string[] = [];
  for (const group of [...new Set(samples.map((s) => s.group))]) {
    const own = samples.filter((s) => s.group === group);
    const head = ["", "completion", ...names, ...(several ? ["sum"] : []), ""];
    const rows = own.map((s) => [
      s.source,
      quote(s.completion, room).padEnd(10),
      ...names.map((name) => formatNumber(s.rewards[name])),
      ...(several ? [formatNumber(s.total)] : []),
      s.right ? "right" : "",
    ]);
    lines.push(quote(own[0].prompt, 100), leftSecond([head, ...rows]), "");
  }
  const rows = names.map((name) => {
    const { weight, mean, std, min, max, scored } = statistics[name];
    return [name, ...[weight, mean, std, min, max].map((x) => formatNumber(x)), `${scored}/${samples.length}`];
  });
  lines.push(table([["reward", "weight", "mean", "std", "least", "most", "scored"], ...rows]));
  if (flat !== null) lines.push(`prompts whose completions all get the same: ${formatNumber(100 * flat)} %`);
  lines.push("", ...(warnings.length > 0 ? warnings.map((w) => `warning: ${w}`) : ["nothing odd found"]));
  return `${lines.join("\n")}\n`;
}

/** A table whose second column is a text, flush left too. */
function leftSecond(rows: readonly (readonly string[])[]): string {
  const width = Math.max(...rows.map((row) => row[1].length));
  return table(rows.map(([a, b, ...rest]) => [a, b.padEnd(width), ...rest]));
}
