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

/** npm cannot be run here: its scripts must at least exist. */
function checkNpm(text: string): void {
  const { scripts } = JSON.parse(readFileSync(inRoot("package.json"), "utf8"));
  for (const [, name] of text.matchAll(/npm (?:run )?(\w[\w:]*)/g)) {
    if (name !== "ci") expect(Object.keys(scripts)).toContain(name);
  }
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
    } else if (language === "sh") {
      if (/^np[mx] /.test(text)) checkNpm(text);
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
