/** @file `cohort compare`: several recipes on one task, with the same seeds and compute. */

import {
  type ComparedRecipe,
  type ComparedRun,
  type Comparison,
  comparedRecipes,
  compareRuns,
  comparisonConfigs,
} from "../../core/compare.ts";
import { comparisonReport, intervalText, isChanged } from "../../core/compare-report.ts";
import { isDataTask } from "../../core/config.ts";
import { demoConfig } from "../../core/demo.ts";
import { CohortError } from "../../core/errors.ts";
import { jsonLine, type StepMetrics } from "../../core/log.ts";
import {
  type Arguments,
  type Command,
  deviceHelp,
  deviceOptions,
  folderOf,
  type Io,
  numberOption,
  readDeviceOptions,
  readJson,
  textOption,
} from "./command.ts";
import { duration, Status, table } from "./status.ts";

export const compare: Command = {
  summary: "several recipes on one task: learning curves with intervals",
  help: `usage: cohort compare [CONFIG.json] --recipes a,b,c [options]

Trains every recipe with the same seeds, prompts and compute, and writes report.html with the learning curves, their 95 %
intervals over seeds (Student's t), and the differences from the first recipe. Without CONFIG.json: the configuration of
\`cohort train\` without arguments.

  --recipes a,b,c      at least two; the first is what the others are compared with
  --seeds N            seeds from the configuration's upwards (default: 5)
  --set KEY=VALUE      override a key for all; RECIPE:KEY=VALUE for one, as in gspo:params.eps_hi=0.001
  --out DIR            folder of the report and of the runs (default: runs/compare-<recipes>)
  --json               one line of JSON a run, and a last line with curves and outcomes
${deviceHelp}

"params" of CONFIG.json are those of its own recipe; the others have their papers' defaults.
`,
  positionals: true,
  options: {
    recipes: { type: "string" },
    seeds: { type: "string" },
    set: { type: "string", multiple: true },
    out: { type: "string" },
    json: { type: "boolean" },
    ...deviceOptions,
  },
  run,
};

async function run(args: Arguments, io: Io): Promise<number> {
  if (args.positionals.length > 1) {
    throw new CohortError("bad-input", `compare: ${args.positionals.length} configurations`, "give one CONFIG.json");
  }
  const file = args.positionals[0];
  const json = file === undefined ? demoConfig : await readJson(io, file);
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new CohortError("bad-config", `${file}: not an object`, "write {…}");
  }
  const recipes = (textOption(args, "recipes") ?? "").split(",").filter(Boolean);
  for (const id of recipes) await io.recipe(id);
  const out = textOption(args, "out") ?? `runs/compare-${recipes.join("-")}`;
  const planned = comparisonConfigs(
    { ...json, ...readDeviceOptions(args) },
    {
      recipes,
      seeds: numberOption(args, "seeds", { min: 2, max: 1000, whole: true }) ?? 5,
      sets: (args.values.set as string[] | undefined) ?? [],
      out,
      base: file === undefined ? io.cwd.replaceAll("\\", "/") : folderOf(io, file),
      where: file ?? "config",
    },
  );
  await refuseUnfit(planned, io);
  const compared = await comparedRecipes(planned);
  const runs = await trainAll(planned, args.values.json === true, io);
  const comparison = compareRuns(runs, planned[0].config);
  const path = `${out}/report.html`;
  await io.storage.write(path, comparisonReport(comparison, planned[0].config, compared));
  if (args.values.json === true) io.out(jsonLine({ done: true, ...comparison, compared, report: path }));
  else io.out(`${[text(comparison), ...changes(compared), ...comparison.notes].join("\n\n")}\n\nreport ${path}\n`);
  return 0;
}

/** What would stop in the middle is refused before the first run. */
async function refuseUnfit(planned: ReturnType<typeof comparisonConfigs>, io: Io): Promise<void> {
  for (const { recipe, config } of planned) {
    const { trains } = await io.recipe(recipe);
    const data = isDataTask(config.task);
    if (!data && trains?.refuse) {
      const remedy = trains.data ? 'give all of them a data set: "task": {"data": FILE.jsonl}' : "leave it out";
      throw new CohortError("bad-config", `compare: recipe ${recipe}: ${trains.refuse}`, remedy);
    }
    if (data && !trains?.data)
      throw new CohortError("bad-config", `compare: recipe ${recipe} does not train from data sets`, "leave it out");
  }
}

async function trainAll(planned: ReturnType<typeof comparisonConfigs>, json: boolean, io: Io): Promise<ComparedRun[]> {
  const { threads, backend, precision } = planned[0].config;
  const engine = await io.engine({ threads, backend, precision });
  const status = new Status(io);
  const stop = new AbortController();
  const silence = io.onInterrupt(() => stop.abort());
  const runs: ComparedRun[] = [];
  try {
    for (const { recipe, seed, config } of planned) {
      const began = io.now();
      const metrics: StepMetrics[] = [];
      const name = `${runs.length + 1}/${planned.length} ${recipe}, seed ${seed}`;
      const result = await engine.train(config, {
        signal: stop.signal,
        onStep(m) {
          metrics.push(m);
          if (!json) status.progress(`${name} · step ${m.step}/${config.steps}`);
        },
      });
      if (result.interrupted) {
        throw new CohortError("bad-input", `compare: stopped in ${name}`, "run it again: finished runs are not reused");
      }
      runs.push({ recipe, seed, metrics, eval: result.eval, digest: result.digest });
      const line = { recipe, seed, digest: result.digest, reward: result.reward, run: result.run };
      if (json) io.out(jsonLine(line));
      else status.line(`${name}: ${duration((io.now() - began) / 1000)}`);
    }
  } finally {
    silence();
    await engine.close();
  }
  return runs;
}

/** What a recipe was given beyond its defaults, and the settings that differ: a line a recipe that has any. */
function changes(compared: readonly ComparedRecipe[]): string[] {
  const lines = compared.flatMap(({ id, params, settings }) => {
    const said = [
      ...Object.entries(params)
        .filter(([, param]) => isChanged(param))
        .map(([name, p]) => `params.${name} = ${JSON.stringify(p.value)} (default ${JSON.stringify(p.default)})`),
      ...Object.entries(settings).map(([path, value]) => `${path} = ${JSON.stringify(value)}`),
    ];
    return said.length > 0 ? [`${id}: ${said.join(", ")}`] : [];
  });
  return lines.length > 0 ? [lines.join("\n")] : [];
}

/** The first curve (rollouts: the reward's) at about ten steps, and the outcomes, for people. */
export function text({ recipes, curves, outcomes }: Comparison): string {
  const [name, curve] = Object.entries(curves)[0] ?? ["reward", {}];
  const most = Math.max(0, ...recipes.map((r) => curve[r]?.length ?? 0));
  const at = [...new Set(Array.from({ length: 10 }, (_, k) => Math.round((k * (most - 1)) / 9)))].filter((k) => k >= 0);
  const steps = at.map((k) => [
    String(recipes.map((r) => curve[r]?.[k]?.step).find((s) => s !== undefined)),
    ...recipes.map((r) => intervalText(curve[r]?.[k] ?? null)),
  ]);
  const ends = Object.entries(outcomes).flatMap(([outcome, each]) => [
    [outcome, ...recipes.map((r) => intervalText(each[r].value))],
    ...(recipes.length > 1
      ? [["  difference", ...recipes.map((r, k) => (k === 0 ? "" : intervalText(each[r].difference)))]]
      : []),
  ]);
  return [table([[`${name} at step`, ...recipes], ...steps]), "", table([["outcome", ...recipes], ...ends])].join("\n");
}
