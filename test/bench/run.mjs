#!/usr/bin/env node
// npm run bench [-- --json] [-- --only NAME]: bundles test/bench/bench.ts and runs it, with relaxed SIMD where asked.
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

const root = fileURLToPath(new URL("../..", import.meta.url));
process.chdir(root);
mkdirSync("node_modules/.cache", { recursive: true });
const outfile = "node_modules/.cache/bench.mjs";
buildSync({
  entryPoints: ["test/bench/bench.ts"],
  outfile,
  bundle: true,
  format: "esm",
  platform: "node",
  packages: "external",
  logLevel: "error",
});
// Engines before V8 11.4 have relaxed SIMD behind a flag; both builds are measured.
const [major, minor] = process.versions.v8.split(".").map(Number);
const flags = major < 11 || (major === 11 && minor < 4) ? ["--experimental-wasm-relaxed-simd"] : [];
const done = spawnSync(process.execPath, ["--expose-gc", ...flags, outfile, ...process.argv.slice(2)], {
  stdio: "inherit",
});
process.exit(done.status ?? 1);
