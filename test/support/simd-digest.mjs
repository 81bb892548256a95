// Prints the digest of a short training run, whether the engine used relaxed SIMD, and which cases of the conformance suite
// miss their golden digests: run with and without the flag.

import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { buildSync } from "esbuild";

const root = fileURLToPath(new URL("../..", import.meta.url));
const code = `
import { CpuDevice, hasRelaxedSimd } from ${JSON.stringify(join(root, "hosts/cpu.ts"))};
import { caseKey, conformance } from ${JSON.stringify(join(root, "core/conformance.ts"))};
import { golden } from ${JSON.stringify(join(root, "core/generated/golden.ts"))};
import { parseConfig } from ${JSON.stringify(join(root, "core/config.ts"))};
import { memoryStorage } from ${JSON.stringify(join(root, "core/storage.ts"))};
import { loadTask } from ${JSON.stringify(join(root, "core/tasks/index.ts"))};
import { train } from ${JSON.stringify(join(root, "core/train.ts"))};
const relaxed = process.execArgv.length > 0 && hasRelaxedSimd();
const device = await CpuDevice.create(1, { relaxed });
const config = parseConfig({ task: { name: "sort", length: 3, shaping: 0.5 }, steps: 3, promptsPerStep: 4, rolloutsPerPrompt: 4,
  maxTokens: 5, evalPrompts: 0, out: "run", model: { config: { hiddenSize: 32, layers: 2, heads: 4, kvHeads: 2, intermediateSize: 64 } } });
const runtime = { device, numeric: device, storage: memoryStorage(), clock: () => 0, threads: 1 };
const { digest } = await train(config, loadTask(config.task), runtime);
const results = relaxed ? await conformance(device) : [];
const missed = results.map((r) => [caseKey({ kernel: r.kernel, name: r.case }), r.digest]).filter(([key, d]) => d !== golden[key]);
console.log(JSON.stringify({ relaxed, digest, cases: results.length, missed }));
device.close();
`;
const dir = mkdtempSync(join(tmpdir(), "cohort-simd-"));
const out = join(root, "node_modules", ".cache", "simd-digest.mjs");
writeFileSync(join(dir, "entry.ts"), code);
buildSync({
  entryPoints: [join(dir, "entry.ts")],
  outfile: out,
  bundle: true,
  format: "esm",
  platform: "node",
  external: ["@huggingface/*", "valibot"],
  logLevel: "error",
});
await import(pathToFileURL(out).href);
