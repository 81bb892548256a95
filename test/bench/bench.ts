/**
 * @file The bench: each figure is the median of several rounds, with its spread. Machines are noisy: compare ratios of one
 * run. `--json` prints a line a figure: {"name", "unit", "ours", "peers", "ratio", "spread"}; `npm run bench -- webgpu`
 * measures that section alone.
 */
import { parseArgs } from "node:util";
import type { Precision } from "../../core/device.ts";
import { modelConfig } from "../../core/model/config.ts";
import { newModel } from "../../core/model/load.ts";
import { memoryEstimate, parameterCount } from "../../core/model/memory.ts";
import { byteTokenizer } from "../../core/model/tokenizer.ts";
import { generate } from "../../core/rollout.ts";
import { Session } from "../../core/session.ts";
import { CpuDevice } from "../../hosts/cpu.ts";
import { spawnThread } from "../../hosts/node-threads.ts";
import { policyOptimisation } from "./rl.ts";
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
  const f: Figure = {
    name,
    unit,
    ours,
    spread: [seen[0][0], seen[0][seen[0].length - 1]],
    peers: Object.fromEntries(Object.keys(peers).map((peer, k) => [peer, theirs[k]])),
    ratio: theirs.length === 0 ? null : lessIsBetter ? theirs[0] / ours : ours / theirs[0],
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

const seconds = async (work: () => Promise<unknown>): Promise<number> => {
  const t0 = performance.now();
  await work();
  return (performance.now() - t0) / 1000;
};

const shapes = {
  "stories260K (0.26 M)": {
    vocabSize: 512,
    hiddenSize: 64,
    layers: 5,
    heads: 8,
    kvHeads: 4,
    intermediateSize: 172,
  },
  "4.9 M": { vocabSize: 2048, hiddenSize: 256, layers: 6, heads: 8, kvHeads: 8, intermediateSize: 688 },
  "29.5 M": { vocabSize: 8192, hiddenSize: 512, layers: 8, heads: 8, kvHeads: 8, intermediateSize: 1376 },
};
const optimizer = {
  learningRate: 1e-4,
  schedule: "constant" as const,
  warmupSteps: 0,
  weightDecay: 0,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  maxGradNorm: 1,
};

function open(device: CpuDevice, shape: keyof typeof shapes, precision: Precision = 12): Session {
  const config = modelConfig({ ...shapes[shape], maxPositions: 512 });
  return new Session(device, device, newModel(device, device, config, byteTokenizer(), 1, { precision }), optimizer);
}

if (positionals.includes("webgpu")) {
  await webgpu(figure, { hardware: values.hardware, processorTime: values["processor-time"] });
  // Dawn does not end by itself.
  process.exit(0);
}

await policyOptimisation(figure);

for (const threads of [1, 2]) {
  const device = await CpuDevice.create(threads, { spawn: spawnThread });
  const on = `${threads} thread${threads > 1 ? "s" : ""}`;
  for (const n of [512, 1024]) {
    for (const precision of [12, 24]) {
      const [a, b, c] = ["a", "b", "c"].map((x) => device.alloc(n * n, x));
      const none = device.alloc(1, "none");
      const data = Float32Array.from({ length: n * n }, (_, i) => ((i * 2654435761) % 1000) / 1000 - 0.5);
      device.write(a, data);
      device.write(b, data);
      const times = n === 512 ? 4 : 1;
      await figure(`matmul ${n}³, precision ${precision}, ${on}`, "GFLOP/s", async () => {
        const s = await seconds(async () => {
          for (let i = 0; i < times; i++) device.run("matmul", c, a, b, none, n, n, n, n, 1, 1, n, n, 0, precision);
          await device.readF32(c, 0, 1);
        });
        return (times * 2 * n ** 3) / s / 1e9;
      });
      for (const x of [a, b, c, none]) device.free(x);
    }
  }
  device.close();
}

for (const shape of Object.keys(shapes) as (keyof typeof shapes)[]) {
  const device = await CpuDevice.create(2, { spawn: spawnThread });
  const session = open(device, shape);
  const { vocabSize } = shapes[shape];
  const [count, length] = [8, 128];
  const sequences = Array.from({ length: count }, (_, s) => ({
    ids: Uint32Array.from({ length }, (_, t) => (s * 131 + t * t * 7) % vocabSize),
    from: 1,
  }));
  const dlogp = new Float32Array(count * (length - 1)).fill(-1 / (count * (length - 1)));
  await figure(`training step, ${shape}, 8 × 128, 2 threads`, "tokens/s", async () => {
    const s = await seconds(async () => {
      await session.forwardBackward(sequences, { dlogp });
      await session.optimStep(1000);
    });
    return (count * length) / s;
  });
  if (shape.startsWith("stories")) {
    const options = { maxTokens: 128, temperature: 1, topK: 0, topP: 1, minP: 0, stopIds: [] };
    let step = 0;
    await figure(`sampling, ${shape}, batch 64, 2 threads`, "tokens/s", async () => {
      const s = await seconds(() =>
        generate(session.model, [[1, 2, 3]], 64, options, { seed: 1, stream: 3, step: step++ }),
      );
      return (64 * 128) / s;
    });
  }
  if (shape === "29.5 M") {
    const config = session.model.config;
    const trainable = parameterCount(config);
    const estimate = memoryEstimate({
      config,
      trainable,
      adapters: 0,
      referenceCopy: false,
      microBatchTokens: count * length,
      microBatchScored: count * length,
      cacheRows: 0,
      maxTokens: 512,
      threads: 2,
    });
    await figure("peak of tensors, 29.5 M, 8 × 128 a micro-batch", "MB", async () => device.memory.peak / 1e6);
    await figure("… as estimated before the run", "MB", async () => estimate / 1e6);
    await figure("… whole process", "MB", async () => process.memoryUsage.rss() / 1e6);
  }
  session.close();
  device.close();
}
await webgpu(figure, { hardware: values.hardware, processorTime: values["processor-time"] });
process.exit(0);
