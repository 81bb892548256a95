/**
 * @file The bench: each figure is the median of several rounds, with its spread. Machines are noisy: compare ratios of one
 * run. `--json` prints a line a figure: {"name", "unit", "ours", "peers", "ratio", "spread"}, the ratio against the best
 * of the peers; `--only TEXT` measures figures whose name holds it. `npm run bench -- webgpu` measures that section alone;
 * `npm run bench -- curves` writes docs/cost.md. `--processor-time`: single-thread figures by processor time.
 */
import { parseArgs } from "node:util";
import { curves } from "./curves.ts";
import { wasmKernels } from "./kernels.ts";
import { policyOptimisation } from "./rl.ts";
import { grpoStep, training } from "./training.ts";
import { webgpu } from "./webgpu.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "boolean" },
    only: { type: "string" },
    rounds: { type: "string", default: "7" },
    hardware: { type: "boolean" },
    "processor-time": { type: "boolean" },
  },
});
const rounds = Number(values.rounds);

interface Figure {
  name: string;
  unit: string;
  ours: number;
  spread: [number, number];
  peers: Record<string, number>;
  ratio: number | null;
}
const figures: Figure[] = [];

/** Ours and every peer take turns in each round, so that a noisy neighbour meets all of them. */
async function figure(
  name: string,
  unit: string,
  measure: () => Promise<number>,
  peers: Record<string, () => Promise<number>> = {},
): Promise<void> {
  if (values.only && !name.includes(values.only)) return;
  const sides = [measure, ...Object.values(peers)];
  const seen: number[][] = sides.map(() => []);
  for (let r = 0; r <= rounds; r++) {
    // The first round warms up.
    for (let k = 0; k < sides.length; k++) {
      const value = await sides[k]();
      if (r > 0) seen[k].push(value);
    }
  }
  const [ours, ...theirs] = seen.map((x) => x.sort((a, b) => a - b)[Math.floor(x.length / 2)]);
  const lessIsBetter = unit === "ms" || unit === "s";
  // Against the best of the others; our own variants are listed beside, not raced.
  const foreign = Object.keys(peers).flatMap((peer, k) => (peer.startsWith("ours") ? [] : [theirs[k]]));
  const best = lessIsBetter ? Math.min(...foreign) : Math.max(...foreign);
  const f: Figure = {
    name,
    unit,
    ours,
    spread: [seen[0][0], seen[0][seen[0].length - 1]],
    peers: Object.fromEntries(Object.keys(peers).map((peer, k) => [peer, theirs[k]])),
    ratio: foreign.length === 0 ? null : lessIsBetter ? best / ours : ours / best,
  };
  figures.push(f);
  if (values.json) console.log(JSON.stringify(f));
  else {
    const n = (x: number) => (x >= 100 ? x.toFixed(0) : x.toFixed(2)).padStart(10);
    console.log(`${name.padEnd(60)}${n(f.ours)} ${unit.padEnd(10)} (${n(f.spread[0])} …${n(f.spread[1])})`);
    theirs.forEach((x, k) => {
      const times = (lessIsBetter ? x / ours : ours / x).toFixed(2);
      console.log(`${`    ${Object.keys(peers)[k]}`.padEnd(60)}${n(x)} ${unit.padEnd(10)} ours is ${times} × as fast`);
    });
  }
}

if (positionals.includes("webgpu")) {
  await webgpu(figure, { hardware: values.hardware, processorTime: values["processor-time"] });
  // Dawn does not end by itself.
  process.exit(0);
}

if (positionals.includes("curves")) {
  await curves({ json: values.json });
  process.exit(0);
}

await policyOptimisation(figure);
await wasmKernels(figure, { processorTime: values["processor-time"] });
await training(figure, { processorTime: values["processor-time"] });
await grpoStep(figure);
await webgpu(figure, { hardware: values.hardware, processorTime: values["processor-time"] });
process.exit(0);
