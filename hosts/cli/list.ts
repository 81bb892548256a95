/** @file `cohort list`: the recipes by stage and the built-in tasks, or one recipe in full. */

import { dataKinds } from "../../core/data/batch.ts";
import { CohortError } from "../../core/errors.ts";
import { jsonLine } from "../../core/log.ts";
import { didYouMean, SLOTS, type Stage, similarIds } from "../../core/recipe.ts";
import { loadTask, taskNames } from "../../core/tasks/index.ts";
import type { Arguments, Command, Io, RecipeInfo } from "./command.ts";
import { table, wrap } from "./status.ts";

export const list: Command = {
  summary: "the recipes and built-in tasks, or one recipe with its parameters",
  help: `usage: cohort list [ID…] [--json]

Without ID, one line a recipe under the first of its stages, and the built-in tasks; before its paper stands what it does in
\`cohort train\`: train (from rollouts), data (from data sets), option (of a system), keys (of the configuration do it), or
replay (of recorded batches only). With ID, its paper, what it changes,
formula, slots and parameters.
  --json  one line of JSON a recipe
`,
  positionals: true,
  options: { json: { type: "boolean" } },
  run,
};

/** The parts of a step, in the order in which they happen. */
export const stages: Readonly<Record<Stage, string>> = {
  sampler: "which prompts, how many rollouts",
  rollout: "how trajectories are made",
  reward: "what a trajectory is worth",
  filter: "which trajectories or tokens are kept",
  advantage: "from rewards to advantages",
  objective: "ratio, clip, aggregation, KL, entropy, auxiliary losses",
  update: "the step on the weights",
  preference: "losses over chosen and rejected answers",
  offline: "learning from fixed data",
  diffusion: "diffusion and flow policies",
  policy: "policy classes and value models",
  pipeline: "several phases",
  application: "a domain built on another system",
  theory: "analysis",
};

const paperOf = (recipe: RecipeInfo) =>
  recipe.paper ? `${recipe.paper.title}${recipe.paper.arxiv ? ` (arXiv ${recipe.paper.arxiv})` : ""}` : "";

const firstStage = (recipe: RecipeInfo) => [recipe.stage ?? []].flat()[0];

/** What plain GRPO fills where a system does not. */
const GRPO_SLOTS = ["advantage", "ratio", "gate", "kl", "aggregate"];

const slotsOf = (recipe: RecipeInfo) => [...SLOTS, "loss", "outputs"].filter((slot) => Object.hasOwn(recipe, slot));

/** The fields for programs. */
function plain(recipe: RecipeInfo): object {
  const { id, paper, stage, formula, describe, option = false, trains, params } = recipe;
  const { refuse: refuses, data } = trains ?? {};
  return { id, paper, stage, formula, describe, option, slots: slotsOf(recipe), refuses, data, params };
}

async function run(args: Arguments, io: Io): Promise<number> {
  const known = await io.recipeIds();
  const ids = args.positionals.length > 0 ? args.positionals : known;
  const unknown = ids.find((id) => !known.includes(id));
  if (unknown !== undefined) throw await noSuch(unknown, known, io);
  const recipes: RecipeInfo[] = [];
  for (const id of ids) recipes.push(await io.recipe(id));
  if (args.values.json === true) {
    for (const recipe of recipes) io.out(jsonLine(plain(recipe)));
    return 0;
  }
  const width = Math.max(40, Math.min(io.columns, 120));
  io.out(
    args.positionals.length > 0 ? recipes.map((r) => details(r, width)).join("\n") : `${overview(recipes, width)}\n`,
  );
  return 0;
}

/** The refusal of an id, with those that may be meant, the papers' titles among what is searched. */
async function noSuch(id: string, known: readonly string[], io: Io): Promise<CohortError> {
  const titles = new Map<string, string>();
  for (const other of known) titles.set(other, (await io.recipe(other)).paper?.title ?? "");
  const guesses = similarIds(id, known, titles);
  const remedy = guesses.length > 0 ? didYouMean(guesses) : "see `cohort list` for those there are";
  return new CohortError("unknown-recipe", `list: unknown recipe '${id}'`, remedy);
}

function overview(recipes: readonly RecipeInfo[], width: number): string {
  const idWidth = Math.max(0, ...recipes.map((r) => r.id.length));
  const room = Math.max(20, width - idWidth - 2);
  const cut = (text: string) => (text.length > room ? `${text.slice(0, room - 1)}…` : text);
  const line = (id: string, text: string) => `${id.padEnd(idWidth)}  ${cut(text)}`.trimEnd();
  const lines = [`${recipes.length} recipes`];
  for (const stage of [undefined, ...(Object.keys(stages) as Stage[])]) {
    const of = recipes.filter((r) => firstStage(r) === stage);
    if (of.length > 0 && stage) lines.push("", `${stage}: ${stages[stage]}`);
    for (const recipe of of) lines.push(line(recipe.id, `${standingOf(recipe).padEnd(6)}  ${paperOf(recipe)}`));
  }
  lines.push("", `${taskNames.length} built-in tasks`);
  for (const name of taskNames) lines.push(line(name, loadTask(name).describe));
  return lines.join("\n");
}

/** What `cohort train` does with it, in a word. */
function standingOf({ option, trains }: RecipeInfo): string {
  if (trains?.keys) return "keys";
  if (trains?.refuse) return trains.data ? "data" : "replay";
  return option ? "option" : "train";
}

type ParamInfo = NonNullable<RecipeInfo["params"]>[string];

function rangeOf({ choices, min, max, nullable }: ParamInfo): string {
  if (choices) return choices.join(" | ");
  const span = min === undefined && max === undefined ? "" : `${min ?? "−∞"} … ${max ?? "∞"}`;
  return nullable ? [span, "null"].filter(Boolean).join(" | ") : span;
}

function details(recipe: RecipeInfo, width: number): string {
  const parts = [recipe.id, wrap(paperOf(recipe), width, "  ")];
  if (recipe.paper?.source) parts.push(wrap(`source: ${recipe.paper.source}`, width, "  "));
  if (recipe.stage) parts.push(`  stage: ${[recipe.stage].flat().join(", ")}`);
  if (recipe.formula) parts.push("", wrap(recipe.formula, width, "  "));
  if (recipe.describe) parts.push("", wrap(recipe.describe.replaceAll("\n", " "), width, "  "));
  const slots = slotsOf(recipe);
  if (slots.length > 0) {
    const alone = recipe.option || slots.includes("loss") || slots.includes("outputs");
    const rest = alone || GRPO_SLOTS.every((slot) => slots.includes(slot)) ? "" : "; the rest is plain GRPO's";
    parts.push("", wrap(`fills ${slots.join(", ")}${rest}`, width, "  "));
  }
  if (recipe.trains?.teacher) parts.push('  learns from a teacher: "reference" names its directory');
  if (recipe.trains?.data) parts.push(`  trains from data sets of ${dataKinds[recipe.trains.data]}`);
  const { refuse, keys } = recipe.trains ?? {};
  if (keys) parts.push(wrap(`in training these keys of the configuration do it: ${keys.join(", ")}`, width, "  "));
  if (!refuse) parts.push(recipe.option ? "  an option of any system" : "  trains from rollouts");
  else if (!keys) parts.push(wrap(`does not train from rollouts: ${refuse}`, width, "  "));
  const params = Object.entries(recipe.params ?? {});
  if (params.length > 0) {
    const rows = params.map(([name, p]) => [`  ${name}`, JSON.stringify(p.default) ?? "", rangeOf(p)]);
    const grid = table([["  parameter", "default", "range"], ...rows]).split("\n");
    const docs = ["", ...params.map(([, p]) => p.doc ?? "")];
    const span = Math.max(...grid.map((line) => line.length));
    parts.push("", ...grid.map((line, i) => `${line.padEnd(span)}  ${docs[i]}`.trimEnd()));
  }
  return `${parts.join("\n")}\n`;
}
