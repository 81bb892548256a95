/**
 * @file Several recipes on one task: the same seeds, the same prompts, the same compute; learning curves with intervals.
 */
import { recipeOf } from "./composition.ts";
import { applySet, isDataTask, parseConfig, type TrainConfig } from "./config.ts";
import { type Interval, seedInterval } from "./demos/lib/verdict.ts";
import { CohortError } from "./errors.ts";
import type { EvalResult } from "./evaluate.ts";
import { isRecord } from "./given.ts";
import { NOTHING_TO_LEARN, type StepMetrics } from "./log.ts";
import { type Recipe, resolveParams } from "./recipe.ts";

/** One run of a comparison. */
export interface ComparedRun {
  recipe: string;
  seed: number;
  metrics: readonly StepMetrics[];
  eval: { before: EvalResult | null; after: EvalResult | null };
  digest: string;
}

export interface CurvePoint extends Interval {
  step: number;
}

/** A number of a recipe at the end: mean over seeds with its interval, and against the first recipe, seed by seed. */
export interface Outcome {
  value: Interval | null;
  difference: Interval | null;
}

export interface Comparison {
  recipes: string[];
  seeds: number[];
  /** metric → recipe → mean over seeds at each step; a step that a seed lacks ends the curve */
  curves: Record<string, Record<string, CurvePoint[]>>;
  /** outcome → recipe */
  outcomes: Record<string, Record<string, Outcome>>;
  /** recipe → digest of each seed's weights */
  digests: Record<string, string[]>;
  /** what a reader might take for a result and is none */
  notes: string[];
}

/** The curves of a comparison, by key of StepMetrics. */
export const CURVES = {
  reward: "reward",
  "rewards/accuracies": "pairs in the right order, share",
  "rewards/margins": "reward of the chosen minus the rejected",
  accuracy: "pairs in the right order, share",
  entropy: "entropy, nats a token",
  "completions/mean_length": "completion length, tokens",
  grad_norm: "gradient norm",
  "clip_ratio/region_mean": "clipped share",
  frac_reward_zero_std: "groups of equal rewards, share",
} as const satisfies { readonly [K in keyof StepMetrics]?: string };

const PER_RECIPE = /^([a-z0-9-]+):(.+)$/;

/**
 * The configuration of each run: recipe × seed, seeds counted up from the configuration's. `params` of the file are those
 * of the file's own recipe; the others have their papers' defaults, or what `sets` say.
 *
 * @param sets key=value for all, RECIPE:key=value for one
 * @throws CohortError "bad-input" for fewer than 2 recipes, one that is named twice, or fewer than 2 seeds
 */
export function comparisonConfigs(
  json: Record<string, unknown>,
  given: {
    recipes: readonly string[];
    seeds: number;
    sets?: readonly string[];
    out: string;
    base?: string;
    where?: string;
  },
): { recipe: string; seed: number; config: TrainConfig }[] {
  const { recipes, seeds, sets = [], out } = given;
  const refuse = (why: string, remedy: string): never => {
    throw new CohortError("bad-input", `compare: ${why}`, remedy);
  };
  if (recipes.length === 0) refuse("no recipe", "give --recipes a,b,c");
  if (recipes.length === 1) {
    refuse(
      `${recipes[0]} alone has nothing to be compared with`,
      `name another, as in --recipes ${recipes[0]},${recipes[0] === "grpo" ? "dapo" : "grpo"}; \`cohort train\` trains one`,
    );
  }
  const twice = recipes.find((r, i) => recipes.indexOf(r) !== i);
  if (twice !== undefined) refuse(`recipe '${twice}' is named twice`, "name each once");
  if (!Number.isInteger(seeds) || seeds < 2) refuse(`seeds is ${seeds}`, "give at least 2: one seed has no interval");
  const own = (recipe: string) =>
    sets.flatMap((set) => {
      const [, whose, rest] = PER_RECIPE.exec(set) ?? [];
      if (whose === undefined) return [set];
      if (!recipes.includes(whose)) refuse(`--set ${set}: '${whose}' is not compared`, `name ${recipes.join(" or ")}`);
      return whose === recipe ? [rest] : [];
    });
  return recipes.flatMap((recipe) => {
    const { params, ...others } = json;
    const start = { ...others, ...(params !== undefined && json.recipe === recipe && { params }), recipe };
    const keys = applySet(start, own(recipe));
    const first = typeof keys.seed === "number" ? keys.seed : 0;
    return Array.from({ length: seeds }, (_, k) => {
      const seed = first + k;
      const read = { base: given.base ?? "", where: given.where ?? "config" };
      const config = { ...parseConfig({ ...keys, recipe, seed }, read), out: `${out}/${recipe}-${seed}` };
      return { recipe, seed, config };
    });
  });
}

/** What a compared recipe is, and how it was run. */
export interface ComparedRecipe {
  id: string;
  paper: Recipe["paper"];
  formula: string;
  /** as used, and what the recipe has where nothing is said */
  params: Record<string, { value: unknown; default: unknown }>;
  /** keys of the configuration that are not the same for all compared recipes, by path; null: absent */
  settings: Record<string, unknown>;
}

/** Paths that differ by design, that repeat another, and `params`, which are told of apart. */
const OWN_PATHS = new Set(["recipe", "params", "seed", "out", "optimizer.learningRate"]);

/**
 * The recipes of planned runs, in the order in which they come, with the options and parameters that their configurations
 * put in.
 * @throws CohortError for what does not compose, and for parameters that there are not
 */
export async function comparedRecipes(
  planned: readonly { recipe: string; config: TrainConfig }[],
): Promise<ComparedRecipe[]> {
  const firsts = planned.filter(({ recipe }, i) => planned.findIndex((p) => p.recipe === recipe) === i);
  const settings = firsts.map(({ config }) => leaves(config));
  const paths = [...new Set(settings.flatMap((each) => Object.keys(each)))].filter((path) => {
    const written = settings.map((each) => JSON.stringify(each[path]));
    return written.some((text) => text !== written[0]);
  });
  return Promise.all(
    firsts.map(async ({ recipe: id, config }, k) => {
      const recipe = await recipeOf(config);
      const standard = resolveParams(recipe);
      const params = Object.entries(resolveParams(recipe, config.params, isDataTask(config.task) ? {} : config));
      return {
        id,
        paper: recipe.paper,
        formula: recipe.formula,
        params: Object.fromEntries(params.map(([name, value]) => [name, { value, default: standard[name] }])),
        settings: Object.fromEntries(paths.map((path) => [path, settings[k][path] ?? null])),
      };
    }),
  );
}

/** A configuration by paths, as `--set` names them: lists and what has no keys are values. */
function leaves(config: object, path = ""): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(config)) {
    if (OWN_PATHS.has(path + key)) continue;
    Object.assign(found, isRecord(value) ? leaves(value, `${path}${key}.`) : { [path + key]: value });
  }
  return found;
}

/**
 * Curves and outcomes of finished runs; recipes and seeds in the order in which they come.
 * @param config of the runs, for the notes
 */
export function compareRuns(
  runs: readonly ComparedRun[],
  config?: Pick<TrainConfig, "miniBatches" | "epochsPerBatch">,
): Comparison {
  const recipes = [...new Set(runs.map((r) => r.recipe))];
  const seeds = [...new Set(runs.map((r) => r.seed))];
  const of = (recipe: string) => seeds.map((seed) => runs.find((r) => r.recipe === recipe && r.seed === seed)!);
  const curves: Comparison["curves"] = {};
  for (const key of Object.keys(CURVES) as (keyof typeof CURVES)[]) {
    const each = Object.fromEntries(recipes.map((recipe) => [recipe, curve(of(recipe), key)]));
    if (Object.values(each).some((points) => points.length > 0)) curves[key] = each;
  }
  return {
    recipes,
    seeds,
    curves,
    outcomes: outcomes(recipes, of),
    digests: Object.fromEntries(recipes.map((recipe) => [recipe, of(recipe).map((r) => r.digest)])),
    notes: notes(recipes, of, config),
  };
}

/** Fewer seeds than this have no interval worth drawing: Student's t is 12.7 for two of them, 4.3 for three. */
export const FEW_SEEDS = 4;

function notes(
  recipes: readonly string[],
  of: (recipe: string) => ComparedRun[],
  config?: Pick<TrainConfig, "miniBatches" | "epochsPerBatch">,
): string[] {
  const said: string[] = [];
  const [base] = recipes;
  const once = config?.miniBatches === 1 && config.epochsPerBatch === 1;
  const why = once
    ? ": with one optimiser step a batch every ratio is 1, so that ratio, gate and clip range do nothing; set miniBatches or epochsPerBatch above 1"
    : "";
  for (const recipe of recipes) {
    const runs = of(recipe);
    if (recipe !== base && runs.every((r, i) => r.digest === of(base)[i].digest))
      said.push(`${recipe} and ${base} end with the same weights in every seed${why}`);
    const steps = runs.flatMap((r) => r.metrics);
    if (steps.length > 0 && steps.every((m) => m.frac_reward_zero_std === 1 && m.grad_norm === 0))
      said.push(`${recipe} had nothing to learn from: ${NOTHING_TO_LEARN}`);
  }
  const { length } = of(base);
  if (length < FEW_SEEDS)
    said.push(`${length} seeds: intervals over so few are wide, or narrow by chance; give --seeds 5 or more`);
  return said;
}

function curve(runs: readonly ComparedRun[], key: keyof StepMetrics): CurvePoint[] {
  const points: CurvePoint[] = [];
  const steps = Math.min(...runs.map((r) => r.metrics.length));
  for (let k = 0; k < steps; k++) {
    const values = runs.map((r) => r.metrics[k][key]);
    const known = values.filter((x): x is number => typeof x === "number");
    const interval = known.length === values.length ? seedInterval(known) : null;
    if (interval) points.push({ step: runs[0].metrics[k].step, ...interval });
  }
  return points;
}

function outcomes(recipes: readonly string[], of: (recipe: string) => ComparedRun[]): Comparison["outcomes"] {
  const last = (r: ComparedRun, share: number) => r.metrics.slice(-Math.max(1, Math.ceil(r.metrics.length * share)));
  const mean = (x: readonly (number | null)[]) => x.reduce<number>((a, b) => a + (b ?? Number.NaN), 0) / x.length;
  const measures: Record<string, (r: ComparedRun) => number> = {
    "reward, last tenth": (r) => mean(last(r, 0.1).map((m) => m.reward)),
    "reward, mean": (r) => mean(r.metrics.map((m) => m.reward)),
    "loss before, held out": (r) => r.eval.before?.metrics?.loss ?? Number.NaN,
    "loss after, held out": (r) => r.eval.after?.metrics?.loss ?? Number.NaN,
    "accuracy after, held out": (r) => accuracyOf(r.eval.after?.metrics),
    "pass@1 before": (r) => r.eval.before?.["pass@1"] ?? Number.NaN,
    "pass@1 after": (r) => r.eval.after?.["pass@1"] ?? Number.NaN,
    ...passAtMost(of(recipes[0])),
    "entropy, last tenth": (r) => mean(last(r, 0.1).map((m) => m.entropy)),
    "length, last tenth": (r) => mean(last(r, 0.1).map((m) => m["completions/mean_length"])),
    tokens: (r) => r.metrics.at(-1)?.num_tokens ?? Number.NaN,
  };
  const table: Comparison["outcomes"] = {};
  for (const [name, measure] of Object.entries(measures)) {
    const base = of(recipes[0]).map(measure);
    const rows = recipes.map((recipe, k): [string, Outcome] => {
      const values = of(recipe).map(measure);
      const difference = k === 0 ? null : seedInterval(values.map((x, i) => x - base[i]));
      return [recipe, { value: seedInterval(values), difference }];
    });
    if (rows.some(([, { value }]) => value)) table[name] = Object.fromEntries(rows);
  }
  return table;
}

/** Of a policy's preferences or of a reward model's scores. */
function accuracyOf(metrics: EvalResult["metrics"]): number {
  return metrics?.["rewards/accuracies"] ?? metrics?.accuracy ?? Number.NaN;
}

/** pass@k of the largest k of the evaluation. */
function passAtMost(runs: readonly ComparedRun[]): Record<string, (r: ComparedRun) => number> {
  const ks = Object.keys(runs[0]?.eval.after ?? {}).flatMap((key) => /^pass@(\d+)$/.exec(key)?.[1] ?? []);
  const k = Math.max(1, ...ks.map(Number));
  return k === 1 ? {} : { [`pass@${k} after`]: (r) => r.eval.after?.[`pass@${k}`] ?? Number.NaN };
}
