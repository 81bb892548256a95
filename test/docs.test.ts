/**
 * The documentation is true: every code block of README.md and docs/*.md runs against the built package, in a folder of
 * its page; configurations parse and compose; quotations stand in the files they name; links lead somewhere; generated
 * pages are what the generator gives.
 *
 * The info string of a block says how: `js`, `ts` (Node), `sh`, `json` (a configuration, or a case), `html` (its module
 * script is bundled), and a file name after it, under which later blocks of the page find it. A name of a file of the
 * repository makes the block a quotation.
 */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { build, transform } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { recipeOf } from "../core/composition.ts";
import { parseConfig } from "../core/config.ts";
import { loadRecipe, type Recipe, resolveParams } from "../core/recipe.ts";
import { type Case, run as replayWith } from "../core/replay.ts";
import { close } from "../hosts/cli/replay.ts";

const root = join(import.meta.dirname, "..");
const inRoot = (path: string) => join(root, path);
const pagesIn = (folder: string) =>
  readdirSync(inRoot(folder))
    .filter((f) => f.endsWith(".md"))
    .sort()
    .map((f) => join(folder, f));
const guides = ["README.md", ...pagesIn("docs")];
const recipePages = pagesIn("docs/recipes");

interface Block {
  language: string;
  name: string;
  text: string;
}

function blocksOf(page: string): Block[] {
  const text = readFileSync(inRoot(page), "utf8");
  return [...text.matchAll(/^```(\w+) ?([^\n]*)\n([\s\S]*?)^```$/gm)].map(([, language, name, body]) => ({
    language,
    name,
    text: body,
  }));
}

let work: string;
beforeAll(() => {
  if (!existsSync(inRoot("dist/cli.js"))) throw new Error("docs: dist/cli.js is missing — npm run build");
  work = mkdtempSync(join(tmpdir(), "cohort-docs-"));
  mkdirSync(join(work, "node_modules"));
  symlinkSync(root, join(work, "node_modules/cohort"));
  mkdirSync(join(work, "bin"));
  writeFileSync(join(work, "bin/cohort"), `#!/bin/sh\nexec "${process.execPath}" "${inRoot("dist/cli.js")}" "$@"\n`);
  chmodSync(join(work, "bin/cohort"), 0o755);
  // What npm makes of "bin" where the package is installed: `npx cohort` finds it there.
  mkdirSync(join(work, "node_modules/.bin"));
  symlinkSync(join(work, "bin/cohort"), join(work, "node_modules/.bin/cohort"));
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

function spawn(command: string, args: string[], cwd: string): void {
  const env = { ...process.env, PATH: `${join(work, "bin")}:${process.env["PATH"]}` };
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, env, encoding: "utf8" });
  expect(status, `${args.join(" ")}\n${stdout}${stderr}`).toBe(0);
}

/** A configuration means something: keys, recipe, options and parameters. */
async function checkConfig(json: unknown): Promise<void> {
  const config = parseConfig(json);
  resolveParams(await recipeOf(config), config.params);
}

function checkCase(recipe: Recipe, given: Case & { expected?: Record<string, unknown>; tolerance?: number }): void {
  const outputs = replayWith(recipe, given);
  for (const [name, want] of Object.entries(given.expected ?? {})) {
    const fits = close(outputs[name], want, given.tolerance ?? 1e-5);
    expect(fits, `${given.system} ${name}: ${JSON.stringify(outputs[name])}`).toBe(true);
  }
}

/** A recipe that is only on the page, as if its file were there. */
async function recipeFrom(block: Block, folder: string): Promise<Recipe> {
  const outfile = join(folder, `${basename(block.name, ".ts")}.mjs`);
  const stdin = { contents: block.text, resolveDir: inRoot(dirname(block.name)), loader: "ts" as const };
  await build({ stdin, bundle: true, format: "esm", platform: "node", outfile, logLevel: "silent" });
  return (await import(/* @vite-ignore */ pathToFileURL(outfile).href)).default;
}

/**
 * A command of npm in this checkout. `npm start` runs, cut to a step; `npm ci` would take away the packages that this test
 * runs on, `npm test` is this run, and builds came before it (pretest) and would change dist under the other tests: of these
 * the scripts must exist.
 */
function runNpm(text: string, folder: string): void {
  const { scripts } = JSON.parse(readFileSync(inRoot("package.json"), "utf8"));
  for (const command of text.trim().split(/\n|&&/)) {
    const [, name] = /^npm (?:run )?(\w[\w:]*)$/.exec(command.trim()) ?? [];
    expect(name, `${command}: not understood`).toBeDefined();
    if (name !== "ci") expect(Object.keys(scripts)).toContain(name);
    if (name !== "start") continue;
    const sets = ["steps=1", "warmStart.steps=1", "evalPrompts=0"].flatMap((set) => ["--set", set]);
    spawn("npm", ["start", "--", "--out", join(folder, "started"), ...sets], root);
    expect(existsSync(join(folder, "started/report.html"))).toBe(true);
  }
}

/** What the words `path/to/…` stand for: a small model in Hugging Face's layout, for the alphabet of the page's prompts. */
function makeModel(folder: string, { model: path, task }: { model: string; task: { prompts: string } }): void {
  const letters = readFileSync(join(folder, task.prompts), "utf8").replace(/[^ ,.a-zA-Z]/g, "");
  const alphabet = `${[...new Set(letters)].join("")}\n`;
  const config = {
    task,
    model: { config: { hiddenSize: 16, layers: 1, heads: 2, kvHeads: 1, intermediateSize: 16 }, alphabet },
    steps: 0,
    evalPrompts: 0,
  };
  writeFileSync(join(folder, "model.json"), JSON.stringify(config));
  spawn("cohort", ["train", "model.json", "--out", "model-run"], folder);
  mkdirSync(join(folder, dirname(path)), { recursive: true });
  renameSync(join(folder, "model-run/checkpoints/step-0"), join(folder, path));
}

async function runPage(page: string): Promise<void> {
  const folder = join(work, basename(page, ".md"));
  mkdirSync(folder);
  const recipes: Record<string, Recipe> = {};
  for (const [index, block] of blocksOf(page).entries()) {
    const { language, name, text } = block;
    if (name && existsSync(inRoot(name))) {
      expect(readFileSync(inRoot(name), "utf8"), `${page} quotes ${name}`).toContain(text);
      continue;
    }
    if (name && !name.includes("/")) writeFileSync(join(folder, name), text);
    if (language === "ts" && name.startsWith("core/recipes/")) {
      const recipe = await recipeFrom(block, folder);
      recipes[recipe.id] = recipe;
    } else if (language === "js" || language === "ts") {
      const file = language === "js" && name ? name : `block-${index}.mjs`;
      const { code } = await transform(text, { loader: language });
      writeFileSync(join(folder, file), language === "ts" ? code : text);
      spawn(process.execPath, [file], folder);
    } else if (language === "json") {
      const json = JSON.parse(text);
      if (json.system) checkCase(recipes[json.system] ?? (await loadRecipe(json.system)), json);
      else await checkConfig(json);
      if (/^path\/to\//.test(json.model)) makeModel(folder, json);
    } else if (language === "sh") {
      if (/^npm /.test(text)) runNpm(text, folder);
      else spawn("sh", ["-ec", text], folder);
    } else if (language === "html") {
      const [, contents] = /<script type="module">([\s\S]*)<\/script>/.exec(text)!;
      const alias = { "cohort/browser": inRoot("hosts/browser.ts") };
      const stdin = { contents, resolveDir: root };
      await build({ stdin, alias, bundle: true, format: "esm", write: false, logLevel: "silent" });
    } else expect(["text", "jsonl"], `${page}: a block nobody runs`).toContain(language);
  }
}

describe("code blocks run", () => {
  for (const page of guides.filter((p) => blocksOf(p).length > 0))
    test(page, { timeout: 180_000 }, () => runPage(page));
});

test("configurations inside sentences and tables, and of every recipe page, mean something", async () => {
  let count = 0;
  for (const page of [...guides, ...recipePages]) {
    const text = readFileSync(inRoot(page), "utf8");
    const inline = [...text.matchAll(/`(\{"recipe".*?\})`/g)].map((m) => m[1]);
    const blocks = page.startsWith(join("docs", "recipes")) ? blocksOf(page).filter((b) => b.language === "json") : [];
    for (const json of [...inline, ...blocks.map((b) => b.text)]) {
      await checkConfig(JSON.parse(json)).catch((error: Error) => {
        throw new Error(`${page}: ${json}: ${error.message}`);
      });
      count++;
    }
  }
  expect(count).toBeGreaterThan(100);
});

test("typed blocks are typed against the declarations of the package", () => {
  const folder = join(work, "types");
  mkdirSync(folder);
  const typed = guides.flatMap((page) => blocksOf(page).filter((b) => b.language === "ts" && !b.name.includes("/")));
  expect(typed.length).toBeGreaterThan(0);
  for (const { name, text } of typed) writeFileSync(join(folder, name), text);
  writeFileSync(join(folder, "package.json"), '{"type": "module"}');
  const options = { target: "es2022", module: "nodenext", strict: true, noEmit: true, skipLibCheck: true, types: [] };
  const compilerOptions = { ...options, lib: ["es2024", "dom"] };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions }));
  spawn(process.execPath, [inRoot("node_modules/typescript/bin/tsc"), "-p", "."], folder);
});

describe("options.md: one name, several meanings", () => {
  /** Outputs of the configuration's recipe, as a table cell writes it, on one small batch. */
  async function outputs(config: Record<string, unknown>, batch: Record<string, unknown>): Promise<unknown> {
    const text = readFileSync(inRoot("docs/options.md"), "utf8");
    expect(text, "the table still has this cell").toContain(`\`${JSON.stringify(config)}\``);
    const parsed = parseConfig(config);
    return replayWith(await recipeOf(parsed), { system: "", case: "", params: parsed.params, batch });
  }
  const tokens = (rows: number[][], x: number) => rows.map((row) => row.map(() => x));

  test("a group of one: 0, or its raw reward", async () => {
    const batch = { group: [0], reward: [3], length: [1], mask: [[1]], logp: [[-1]], logp_old: [[-1]] };
    expect(await outputs({ recipe: "grpo" }, batch)).toMatchObject({ advantage: [0] });
    const { advantage } = (await outputs({ recipe: "grpo-adv" }, batch)) as { advantage: number[] };
    expect(advantage[0]).toBeCloseTo(3, 4);
  });

  test("denominators: all tokens, tokens of a prompt, trajectories with or without those that are all masked", async () => {
    const mask = [[1, 1, 1], [1], [0]];
    const batch = { group: [0, 1, 1], length: [3, 1, 1], mask, advantage: [1, 0, 0], reward: [1, 0, 0] };
    const rows = { logp: tokens(mask, -1), logp_old: tokens(mask, -1) };
    const slopes = async (config: Record<string, unknown>) => {
      const of = await recipeOf(parseConfig(config));
      const given = { ...batch, ...rows };
      const fixed: Recipe = { ...of, advantage: (c) => c.field("advantage") };
      return (replayWith(fixed, { system: "", case: "", batch: given }) as { dlogp: number[][] }).dlogp[0][0];
    };
    expect(await slopes({ recipe: "grpo", aggregate: "token-mean" })).toBeCloseTo(-1 / 4, 12);
    expect(await slopes({ recipe: "grpo", aggregate: "group-token-mean" })).toBeCloseTo(-1 / 6, 12);
    expect(await slopes({ recipe: "grpo" })).toBeCloseTo(-1 / 9, 12);
    expect(await slopes({ recipe: "grpo", aggregate: "seq-mean-token-mean" })).toBeCloseTo(-1 / 6, 12);
  });

  test("beyond the length limit: 1, or at most the factor", async () => {
    const mask = [Array(600).fill(1)];
    const batch = { group: [0], reward: [0], length: [600], mask, logp: tokens(mask, -1), logp_old: tokens(mask, -1) };
    const limit = { max_len: 512, buffer: 128 };
    const soft = await outputs({ recipe: "overlong-soft-punishment", params: limit }, batch);
    expect(soft).toMatchObject({ reward_shaped: [-1] });
    const capped = await outputs({ recipe: "overlong-penalty", params: { ...limit, factor: 0.5 } }, batch);
    expect(capped).toMatchObject({ reward_shaped: [-0.5] });
  });

  test("a bad action with a large ratio: bounded by the dual clip, unbounded without", async () => {
    const logp = [[-1], [-1]];
    const batch = { group: [0, 0], reward: [1, 0], length: [1, 1], mask: [[1], [1]], logp, logp_old: [[-1], [-4]] };
    const slope = async (config: Record<string, unknown>) =>
      ((await outputs(config, batch)) as { dlogp: number[][] }).dlogp[1][0];
    expect(await slope({ recipe: "dual-clip" })).toBe(0);
    expect(await slope({ recipe: "two-sided-clip", params: { delta: 4 } })).toBe(0);
    expect(await slope({ recipe: "grpo" })).toBeGreaterThan(5);
  });
});

test("`cohort list` names every recipe once under a stage, and tells of one what its page tells", () => {
  const list = (...args: string[]) => {
    const { stdout } = spawnSync(process.execPath, [inRoot("dist/cli.js"), "list", ...args], { encoding: "utf8" });
    return stdout;
  };
  const ids = list("--json")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).id);
  const overview = list();
  expect(overview).toMatch(/^objective: /m);
  for (const id of ids) expect(overview.match(new RegExp(`^${id} `, "gm")), id).toHaveLength(1);
  const two = list("gspo", "pass-at-k");
  expect(two).toMatch(/fills ratio, gate; the rest is plain GRPO's\n/);
  expect(two).toMatch(/eps_std +0\.0001 +0 … ∞ +[^\n]+standard deviation/);
  for (const part of [/fills outputs\n/, /source: /, /in training these keys of the configuration do it/])
    expect(two).toMatch(part);
});

test("links lead to files", () => {
  const dead = [...guides, ...recipePages, "FEATURES.md"].flatMap((page) => {
    const text = readFileSync(inRoot(page), "utf8").replace(/^```[\s\S]*?^```$/gm, "");
    const targets = [...text.matchAll(/\]\((?!https?:)([^)#\s]+)[^)]*\)/g)].map((m) => m[1]);
    return targets.filter((t) => !existsSync(join(root, dirname(page), t))).map((t) => `${page}: ${t}`);
  });
  expect(dead).toEqual([]);
});

test("generated pages are what the generator gives (FEATURES only beside the catalogue)", () => {
  const { stdout, stderr } = spawnSync(process.execPath, ["hosts/docs.mjs", "--check"], {
    cwd: root,
    encoding: "utf8",
  });
  expect(stdout + stderr, "npm run docs writes them anew").toBe("");
});
