#!/usr/bin/env node
// Builds everything: WASM (AssemblyScript) -> base64 in core/generated/*.ts, then dist/ (esbuild) and its types (tsc).
//   node hosts/build.mjs        all
//   node hosts/build.mjs wasm   only core/generated
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
process.chdir(root);
const require = createRequire(import.meta.url);
const run = (args) => {
  const done = spawnSync(process.execPath, args, { stdio: "inherit" });
  if (done.status !== 0) process.exit(done.status ?? 1);
};
const write = (file, text) => {
  if (!existsSync(file) || readFileSync(file, "utf8") !== text) writeFileSync(file, text);
};
const newest = (folder) =>
  Math.max(
    ...readdirSync(folder, { withFileTypes: true, recursive: true })
      .filter((e) => e.isFile() && e.name.endsWith(".ts"))
      .map((e) => statSync(join(e.parentPath ?? e.path, e.name)).mtimeMs),
  );

mkdirSync("core/generated", { recursive: true });
mkdirSync("core/wasm/generated", { recursive: true });

// The list of recipe ids is the list of files: adding a recipe is adding a file.
const recipes = readdirSync("core/recipes")
  .filter((f) => f.endsWith(".ts") && !f.startsWith("_"))
  .map((f) => basename(f, ".ts"))
  .sort();
write("core/generated/recipe-ids.ts", `export const recipeIds: readonly string[] = ${JSON.stringify(recipes)};\n`);

const version = JSON.parse(readFileSync("package.json", "utf8")).version;
write("core/generated/version.ts", `export const version = ${JSON.stringify(version)};\n`);

const ascMain = join(dirname(require.resolve("assemblyscript/package.json")), "bin/asc.js");
const modules = [
  { target: "kernels", entry: "core/wasm/kernels.ts" },
  { target: "kernels-relaxed", entry: "core/wasm/kernels.ts" },
  { target: "rl", entry: "core/wasm/rl.ts" },
].filter((m) => existsSync(m.entry));
const sources = Math.max(newest("core/wasm"), statSync("asconfig.json").mtimeMs, statSync("core/kernels.ts", { throwIfNoEntry: false })?.mtimeMs ?? 0);
for (const { target, entry } of modules) {
  const out = `core/wasm/generated/${target}.wasm`;
  const ts = `core/generated/wasm-${target}.ts`;
  if (existsSync(out) && existsSync(ts) && statSync(out).mtimeMs > sources) continue;
  run([ascMain, entry, "--config", "asconfig.json", "--target", target]);
  const bytes = readFileSync(out);
  write(ts, `/** ${target}.wasm, ${bytes.length} bytes, base64 */\nexport default "${bytes.toString("base64")}";\n`);
}
if (process.argv[2] === "wasm") process.exit(0);

const { build } = await import("esbuild");
rmSync("dist", { recursive: true, force: true });
const entryPoints = { index: "core/index.ts", node: "hosts/node.ts", cli: "hosts/cli.ts" };
for (const id of recipes) entryPoints[`recipes/${id}`] = `core/recipes/${id}.ts`;
for (const key of Object.keys(entryPoints)) if (!existsSync(entryPoints[key])) delete entryPoints[key];
if (Object.keys(entryPoints).length > 0) {
  await build({
    entryPoints,
    outdir: "dist",
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    target: "es2022",
    external: ["node:*", "webgpu", "@huggingface/*", "valibot"],
    chunkNames: "chunks/[name]-[hash]",
    logLevel: "warning",
  });
  run([require.resolve("typescript/bin/tsc"), "-p", "tsconfig.build.json"]);
}
