/** @file `cohort list`: the recipes and the built-in tasks. */

import { jsonLine } from "../../core/log.ts";
import { loadTask, taskNames } from "../../core/tasks/index.ts";
import type { Arguments, Command, Io, RecipeInfo } from "./command.ts";
import { table, wrap } from "./status.ts";

export const list: Command = {
  summary: "the recipes and built-in tasks, or one recipe with its parameters",
  help: `usage: cohort list [ID] [--json]

Without ID, one line a recipe, and the built-in tasks. With ID, its paper, formula, prose and parameters.
`,
  options: { json: { type: "boolean" } },
  run,
};

const paperOf = (recipe: RecipeInfo) =>
  recipe.paper ? `${recipe.paper.title}${recipe.paper.arxiv ? ` (arXiv ${recipe.paper.arxiv})` : ""}` : "";

/** The fields for programs. */
function plain(recipe: RecipeInfo): object {
  const { id, paper, stage, formula, describe, params } = recipe;
  return { id, paper, stage, formula, describe, params };
}

async function run(args: Arguments, io: Io): Promise<number> {
  const json = args.values.json === true;
  const ids = args.positionals.length > 0 ? args.positionals : await io.recipeIds();
  const recipes: RecipeInfo[] = [];
  for (const id of ids) recipes.push(await io.recipe(id));
  if (json) {
    for (const recipe of recipes) io.out(jsonLine(plain(recipe)));
    return 0;
  }
  const width = Math.max(40, Math.min(io.columns, 120));
  if (args.positionals.length > 0) {
    io.out(recipes.map((recipe) => details(recipe, width)).join("\n"));
    return 0;
  }
  const idWidth = Math.max(0, ...recipes.map((r) => r.id.length));
  const room = Math.max(20, width - idWidth - 2);
  const cut = (text: string) => (text.length > room ? `${text.slice(0, room - 1)}…` : text);
  io.out(
    `${recipes.length} recipes\n${recipes.map((r) => `${r.id.padEnd(idWidth)}  ${cut(paperOf(r))}`.trimEnd()).join("\n")}\n`,
  );
  io.out(
    `\n${taskNames.length} built-in tasks\n${taskNames.map((name) => `${name.padEnd(idWidth)}  ${loadTask(name).describe}`).join("\n")}\n`,
  );
  return 0;
}

function details(recipe: RecipeInfo, width: number): string {
  const parts = [recipe.id];
  if (recipe.paper) parts.push(wrap(paperOf(recipe), width, "  "));
  if (recipe.stage) parts.push(`  stage: ${[recipe.stage].flat().join(", ")}`);
  if (recipe.formula) parts.push("", wrap(recipe.formula, width, "  "));
  if (recipe.describe) parts.push("", wrap(recipe.describe.replaceAll("\n", " "), width, "  "));
  const params = Object.entries(recipe.params ?? {});
  if (params.length > 0) {
    const range = (p: { min?: number; max?: number }) =>
      p.min === undefined && p.max === undefined ? "" : `${p.min ?? "−∞"} … ${p.max ?? "∞"}`;
    const rows = params.map(([name, p]) => [`  ${name}`, JSON.stringify(p.default) ?? "", range(p)]);
    const grid = table([["  parameter", "default", "range"], ...rows]).split("\n");
    const docs = ["", ...params.map(([, p]) => p.doc ?? "")];
    const span = Math.max(...grid.map((line) => line.length));
    parts.push("", ...grid.map((line, i) => `${line.padEnd(span)}  ${docs[i]}`.trimEnd()));
  }
  return `${parts.join("\n")}\n`;
}
