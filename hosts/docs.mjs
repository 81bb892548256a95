#!/usr/bin/env node
// Writes what the code itself knows: pages of recipes, configuration, degenerate cases and API under docs/ and, where the
// catalogue of systems is at hand (../shared), FEATURES.md. Nothing in these files is written by hand.
//   node hosts/docs.mjs           writes
//   node hosts/docs.mjs --check   lists the files that differ, and ends with 1 if there are any
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { apiPage } from "./docs-api.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
process.chdir(root);

/** The parts of the core that know about recipes, bundled: this script is JavaScript, they are not. */
async function loadCore() {
  const contents = `
    export { loadRecipe, needs, paramsOf, resolveParams, SLOTS } from "./core/recipe.ts";
    export { slotsOf } from "./core/recipe/defaults.ts";
    export { recipeOf } from "./core/composition.ts";
    export { configKeys } from "./core/config.ts";
    export { readsBeyondData, readsBeyondRollouts } from "./core/train.ts";
    export { suppliesOf } from "./core/train/supply.ts";
    export { dataKinds } from "./core/data/batch.ts";
    export { degenerateTable } from "./core/rl/degenerate.ts";
    export { taskNames, loadTask } from "./core/tasks/index.ts";
    export { stages } from "./hosts/cli/list.ts";`;
  const folder = mkdtempSync(join(tmpdir(), "cohort-docs-"));
  try {
    const outfile = join(folder, "core.mjs");
    await build({
      stdin: { contents, resolveDir: root, loader: "ts" },
      bundle: true,
      format: "esm",
      platform: "node",
      outfile,
      logLevel: "warning",
    });
    return await import(pathToFileURL(outfile).href);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
const core = await loadCore();

const files = (folder, ending) =>
  existsSync(folder)
    ? readdirSync(folder)
        .filter((f) => f.endsWith(ending) && !f.startsWith("_"))
        .sort()
    : [];
const idsIn = (folder) => files(folder, ".ts").map((f) => basename(f, ".ts"));

const SLOTS = [...core.SLOTS, "loss", "outputs"];

/** Which configuration key lends what; the narrowest that carries all slots of an option is the one to show. */
const KEYS = ["kl", "filter", "aggregate", "correction", "options"];
const LISTS = new Set(["filter", "options"]);

const cell = (text) => String(text).replaceAll("|", "\\|").replaceAll("\n", " ");
const row = (...cells) => `| ${cells.map(cell).join(" | ")} |`;
const grid = (head, rows) => [row(...head), row(...head.map(() => "---")), ...rows.map((r) => row(...r))].join("\n");
const code = (text) => `\`${text}\``;
const codes = (list) => list.map(code).join(", ");
const paper = ({ title, arxiv }) => `${title}${arxiv ? ` ([arXiv ${arxiv}](https://arxiv.org/abs/${arxiv}))` : ""}`;
const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}`;

/** The configuration that puts an option into GRPO, or null where no key lends all that it fills. */
async function optionConfig(recipe) {
  const slots = core.SLOTS.filter((slot) => recipe[slot]);
  if (slots.length === 0) return null;
  for (const key of KEYS) {
    const config = { recipe: "grpo", [key]: LISTS.has(key) ? [recipe.id] : recipe.id };
    try {
      const composed = await core.recipeOf(config);
      if (!slots.every((slot) => composed[slot] === recipe[slot])) continue;
      // Where names meet the system's default wins: the option's own is then to be said.
      const values = core.resolveParams(composed);
      const own = Object.entries(core.resolveParams(recipe)).filter(([name, value]) => values[name] !== value);
      return own.length > 0 ? { ...config, params: Object.fromEntries(own) } : config;
    } catch (error) {
      if (error?.code !== "bad-config") throw error;
    }
  }
  return null;
}

/** What a configuration of a system has to say beside its name: a data set where it trains from nothing else, a teacher. */
const givenTo = ({ trains }) => ({
  ...(trains?.data && trains.refuse && { task: { data: "examples.jsonl" } }),
  ...(trains?.teacher && { reference: "./teacher" }),
});

/** { state: "runs" | "partly", trains: whether `cohort train` takes it, how: a phrase }, from the recipe alone. */
function standing(recipe, config, composed) {
  const beyond = core.readsBeyondRollouts(composed);
  const from = fromData(recipe);
  const without =
    recipe.trains?.refuse ?? (beyond.length > 0 && `reads ${beyond.join(", ")}, which rollouts do not have`);
  const keys = recipe.trains?.keys;
  if (keys) return { state: "runs", trains: false, how: `no loss: training does it by ${codes(keys)}` };
  if (without && from) return { state: "runs", trains: true, how: `trains ${from}` };
  if (without) return { state: "partly", trains: false, how: `replay only: ${without}` };
  if (!config) return { state: "partly", trains: false, how: "replay only: an option that no system has a place for" };
  if (recipe.option) return { state: "runs", trains: true, how: "an option of any system that trains from rollouts" };
  const how = [`trains from rollouts${recipe.trains?.teacher ? " and a teacher" : ""}`, from]
    .filter(Boolean)
    .join(", or ");
  if (!recipe.sampler || recipe.trains?.draws || recipe.trains?.supply) return { state: "runs", trains: true, how };
  const missing = "what its sampler decides is computed and reported, but prompts and rollouts are drawn evenly";
  return { state: "partly", trains: true, how: `${how}; ${missing}` };
}

/** "from data sets of …", where it trains from them. */
function fromData(recipe) {
  const kind = recipe.trains?.data;
  return kind && core.readsBeyondData(recipe).length === 0 ? `from data sets of ${core.dataKinds[kind]}` : "";
}

const bounds = (spec) => {
  if (spec.choices) return codes(spec.choices);
  const orNull = spec.nullable ? ", or null" : "";
  if (spec.type === "range") return `[low, high]${orNull}`;
  if (spec.type === "any") return "any JSON";
  if (spec.type === "boolean") return "true, false";
  if (spec.type === "string") return "text";
  const kind = spec.type === "integer" ? "whole number" : "number";
  const { min, max } = spec;
  const span =
    min === undefined
      ? max === undefined
        ? ""
        : ` ≤ ${max}`
      : max === undefined
        ? ` ≥ ${min}`
        : ` from ${min} to ${max}`;
  return `${kind}${span}${orNull}`;
};

/** Parameter name → the slot of plain GRPO that reads it. */
function inherited(recipe) {
  const from = {};
  const grpo = { advantage: 1, ratio: 1, gate: 1, kl: 1, aggregate: 1 };
  for (const slot of Object.keys(grpo)) {
    const only = { ...grpo, [slot]: undefined, params: {} };
    for (const name of Object.keys(core.paramsOf(only))) if (!recipe.params[name]) from[name] = slot;
  }
  return from;
}

function recipePage(recipe, { how, trains }, config) {
  const params = core.paramsOf(recipe);
  const values = core.resolveParams(recipe);
  const filled = core.slotsOf(recipe);
  const from = inherited(recipe);
  const names = Object.keys(params);
  const reads = core.needs(recipe, values);
  const initial = recipe.state ? Object.entries(recipe.state.init(values)) : [];
  const whole = !recipe.option && !recipe.loss && !recipe.outputs;
  const slots = SLOTS.filter((slot) => (whole ? filled : recipe)[slot]).map((slot) => [
    code(slot),
    recipe[slot] ? "this recipe" : "plain GRPO",
  ]);
  const out = [
    `# ${recipe.id}`,
    "",
    `${paper(recipe.paper)}${recipe.paper.source ? `; read in ${recipe.paper.source}` : ""}`,
    "",
    `Stage: ${recipe.stage.join(", ")}. ${sentence(how)}.`,
    "",
    recipe.describe.replaceAll("\n", " "),
    "",
    "```text",
    recipe.formula,
    "```",
    "",
    "## Use",
    "",
  ];
  if (trains) out.push("```json", JSON.stringify(config), "```", "");
  else
    out.push(
      `\`cohort replay CASE.json\` with \`"system": "${recipe.id}"\` and the fields below in its \`batch\`.`,
      "",
    );
  const supplies = core.suppliesOf(recipe);
  if (supplies.length > 0) {
    out.push("In training it gets, beside what every recipe does:", "");
    for (const { field, supply } of supplies) out.push(`- ${code(field)}: ${supply.is}`);
    out.push("");
  }
  out.push("## Parameters", "");
  if (names.length === 0) out.push("None.");
  else {
    const rows = names.map((name) => {
      const spec = params[name];
      const source = from[name] ? ` (of GRPO's ${from[name]})` : "";
      const repeats = spec.config ? `; in training the run's ${code(spec.config)}` : "";
      return [code(name), code(JSON.stringify(spec.default)), bounds(spec), spec.doc + source + repeats];
    });
    out.push(grid(["name", "default", "range", "meaning"], rows));
  }
  out.push("", "## Slots", "", grid(["slot", "filled by"], slots), "");
  out.push(`Reads: ${reads.length > 0 ? codes(reads) : "nothing of a batch"}.`);
  if (recipe.fields)
    out.push(
      `Fields of its own: ${Object.entries(recipe.fields)
        .map(([n, s]) => `${code(n)} (${s})`)
        .join(", ")}.`,
    );
  if (recipe.differentiate) out.push(`Also differentiated by ${codes(recipe.differentiate)}.`);
  if (recipe.state) {
    const kept = initial.map(([name, value]) => `${code(name)} = ${code(JSON.stringify(value))}`).join(", ");
    out.push(`Keeps between steps, and in checkpoints: ${kept || "what it has seen (empty at first)"}.`);
  }
  return `${out.join("\n")}\n`;
}

function indexPage(recipes) {
  const out = [
    "# Recipes",
    "",
    `${recipes.length} recipes, under the first of their stages. Each page has formula, parameters, slots and needs; \`cohort list ID\``,
    "prints the same. Written by `npm run docs` from the recipes themselves.",
    "",
    `- **trains**: \`"recipe": ID\` in a configuration of [\`cohort train\`](../configuration.md).`,
    "- **data sets**: the same with a [data set](../data-sets.md) as task.",
    "- **option**: put into a system by `kl`, `filter`, `aggregate`, `correction` or `options`.",
    "- **replay**: computes on recorded batches that carry what it reads; training is refused with the reason.",
    "",
  ];
  for (const [stage, meaning] of Object.entries(core.stages)) {
    const of = recipes.filter(({ recipe }) => recipe.stage[0] === stage);
    if (of.length === 0) continue;
    out.push(`## ${stage}: ${meaning}`, "");
    const rows = of.map(({ recipe, standing: { trains } }) => [
      `[${recipe.id}](${recipe.id}.md)`,
      paper(recipe.paper),
      !trains ? "replay" : recipe.option ? "option" : recipe.trains?.refuse ? "data sets" : "trains",
    ]);
    out.push(grid(["id", "paper", ""], rows), "");
  }
  return out.join("\n");
}

function configurationPage() {
  const rows = core.configKeys().map(({ path, standard, doc }) => [code(path), code(standard), doc]);
  const tasks = core.taskNames.map((name) => [code(name), core.loadTask(name).describe]);
  return `# Configuration

What \`cohort train CONFIG.json\` reads; \`--set KEY=VALUE\` overrides a key, unknown keys are refused, and relative paths start
from the file's folder. Written by \`npm run docs\` from the table in \`core/config.ts\`.

${grid(["key", "default", "meaning"], rows)}

## Built-in tasks

${grid(["name", "task"], tasks)}
`;
}

function degeneratePage() {
  return `# Degenerate cases

What each primitive of \`core/rl\` gives where there is nothing to compute with: one trajectory in a group, equal rewards, no
trained token, ratios beyond all bounds. Never NaN, and the derivative is finite too. Recipes are made of these primitives, so
the table holds for them. Written by \`npm run docs\` from \`core/rl/degenerate.ts\`, whose every row is computed by the tests.

${core.degenerateTable()}`;
}

function featuresPage(catalogue, known) {
  const count = {};
  for (const folder of ["../shared/systems/cases", "test/cases"]) {
    for (const file of files(folder, ".json")) {
      const id = file.slice(0, file.indexOf("."));
      count[id] = (count[id] ?? 0) + 1;
    }
  }
  const demos = new Set(idsIn("core/demos"));
  const of = ({ id }) => known.get(id)?.standing ?? { state: "not yet", how: "no recipe file" };
  const total = (state) => catalogue.filter((r) => of(r).state === state).length;
  const rows = [...catalogue]
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .map((r) => {
      const { state, how } = of(r);
      const link = known.has(r.id) ? `[${r.id}](docs/recipes/${r.id}.md)` : r.id;
      return [link, r.name, r.title, `**${state}**: ${how}`, count[r.id] ?? 0, demos.has(r.id) ? "yes" : ""];
    });
  const extra = [...known.keys()].filter((id) => !catalogue.some((r) => r.id === id));
  return `# Features

${catalogue.length} published systems and trainer options. ${total("runs")} run, ${total("partly")} partly, ${total("not yet")} not yet.

- **runs**: \`cohort train\` trains a language model with it, as a system or as an option of one.
- **partly**: its numbers are there (\`cohort replay\`, held by the cases); what training still lacks is said beside it.
- **not yet**: no recipe.

Cases are recorded batches with the numbers that must come out. A demo (\`cohort demo ID\`) compares the system with its
baseline over several seeds. Written by \`npm run docs\`.
${extra.length > 0 ? `\nBeyond these rows: ${codes(extra)}.\n` : ""}
${grid(["id", "name", "paper", "state", "cases", "demo"], rows)}
`;
}

/** Path → text of everything that is generated. */
async function generate() {
  const recipes = [];
  for (const id of idsIn("core/recipes")) {
    const recipe = await core.loadRecipe(id);
    const config = recipe.option ? await optionConfig(recipe) : { recipe: id, ...givenTo(recipe) };
    // What an option reads is what it reads where it is put in.
    const composed = recipe.option && config ? await core.recipeOf(config) : recipe;
    recipes.push({ recipe, config, standing: standing(recipe, config, composed) });
  }
  const pages = new Map();
  for (const { recipe, config, standing: how } of recipes) {
    pages.set(`docs/recipes/${recipe.id}.md`, recipePage(recipe, how, config));
  }
  pages.set("docs/recipes/README.md", indexPage(recipes));
  pages.set("docs/configuration.md", configurationPage());
  pages.set("docs/degenerate-cases.md", degeneratePage());
  pages.set("docs/api.md", apiPage(root));
  const catalogue = "../shared/systems/catalogue.json";
  if (existsSync(catalogue)) {
    const known = new Map(recipes.map((r) => [r.recipe.id, r]));
    pages.set("FEATURES.md", featuresPage(JSON.parse(readFileSync(catalogue, "utf8")), known));
  }
  return pages;
}

const pages = await generate();
const stale = files("docs/recipes", ".md")
  .map((f) => `docs/recipes/${f}`)
  .filter((path) => !pages.has(path));
const changed = [...pages].filter(([path, text]) => !existsSync(path) || readFileSync(path, "utf8") !== text);
if (process.argv[2] === "--check") {
  const differ = [...changed.map(([path]) => path), ...stale];
  for (const path of differ) console.log(path);
  process.exitCode = differ.length > 0 ? 1 : 0;
} else {
  mkdirSync("docs/recipes", { recursive: true });
  for (const [path, text] of changed) writeFileSync(path, text);
  for (const path of stale) rmSync(path);
  console.log(`${pages.size} pages, ${changed.length} written, ${stale.length} removed`);
}
