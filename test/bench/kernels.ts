/**
 * @file The WASM kernels: products at shapes of real models against peers and against the most that SIMD gives here, on one
 * thread; then threads against one, relaxed SIMD against plain, attention, the vocabulary, norms, AdamW.
 */
import type { DeviceBuffer } from "../../core/device.ts";
import type { KernelName } from "../../core/kernels.ts";
import { CpuDevice, hasRelaxedSimd } from "../../hosts/cpu.ts";
import { spawnThread } from "../../hosts/node-threads.ts";
import type { Figure, Measure, Section } from "./harness.ts";
import { peak } from "./peak.ts";
import { type Shape, wasmPeers } from "./wasm-peers.ts";

const shapes: readonly Shape[] = [
  { name: "512³", m: 512, n: 512, k: 512 },
  { name: "1024³", m: 1024, n: 1024, k: 1024 },
  { name: "1016 × 172 × 64 (stories260K, MLP forward)", m: 1016, n: 172, k: 64, forward: true },
  { name: "1016 × 688 × 256 (4.9 M, MLP forward)", m: 1016, n: 688, k: 256, forward: true },
  { name: "1016 × 512 × 1376 (29.5 M, MLP backward)", m: 1016, n: 512, k: 1376 },
  { name: "128 × 8192 × 512 (29.5 M, logits)", m: 128, n: 8192, k: 512, forward: true },
  { name: "64 × 512 × 64 (decoding 64, logits)", m: 64, n: 512, k: 64, forward: true },
  { name: "8 × 688 × 256 (decoding 8, MLP)", m: 8, n: 688, k: 256, forward: true },
];

const noise = (n: number) => Float32Array.from({ length: n }, (_, i) => (((i * 2654435761) >>> 0) % 2001) / 1000 - 1);

const wall = () => performance.now();
/** Of all threads: right where one works. On a crowded machine the clock on the wall measures the crowd. */
const processor = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};
let clock = wall;

/** Seconds of a call, over as many as fill a twentieth of a second. */
async function each(work: () => Promise<unknown>, now = clock): Promise<number> {
  const t0 = now();
  let calls = 0;
  do {
    await work();
    calls++;
  } while (now() - t0 < 50);
  return (now() - t0) / 1000 / calls;
}

/**
 * The share of the peak that the product has in the best moments of both: who shares this core's other half slows the two
 * by different factors (0.55 was seen for minutes where an hour before it was 0.84).
 */
function shareOfPeak(flops: number, work: () => Promise<unknown>, peak: (ms: number) => Promise<number>): Measure {
  let [best, most] = [Number.POSITIVE_INFINITY, 0];
  return async () => {
    for (const end = wall() + 200; wall() < end; ) best = Math.min(best, await once(work));
    most = Math.max(most, await peak(best * 1000));
    return flops / best / most;
  };
}

async function once(work: () => Promise<unknown>): Promise<number> {
  const t0 = wall();
  await work();
  return (wall() - t0) / 1000;
}

const rate = (amount: number, work: () => Promise<unknown>) => async () => amount / (await each(work));

function operands(device: CpuDevice, sizes: readonly (number | Float32Array | Uint32Array)[]): DeviceBuffer[] {
  return sizes.map((size, i) => {
    const data = typeof size === "number" ? noise(size) : size;
    const buffer = device.alloc(data.length, `operand ${i}`);
    device.write(buffer, data);
    return buffer;
  });
}

/** A kernel call that is over when it returns. */
function call(device: CpuDevice, name: KernelName, buffers: readonly DeviceBuffer[], numbers: readonly number[]) {
  return async () => {
    device.run(name, ...buffers, ...numbers);
    await device.readF32(buffers[0], 0, 1);
  };
}

function product(device: CpuDevice, { m, n, k, forward }: Shape, precision = 12) {
  const buffers = operands(device, [new Float32Array(m * n), m * k, n * k, 1]);
  return call(device, "matmul", buffers, [m, n, k, k, 1, forward ? 1 : n, forward ? k : 1, n, 0, precision]);
}

const peakName = "SIMD128, multiply-adds in registers";
const namesOf = ({ name, forward }: Shape) => {
  const matmul = `matmul ${name}, 1 thread`;
  return {
    plain: matmul,
    relaxed: `${matmul}, relaxed`,
    share: `matmul ${name}, of the peak in registers, plain`,
    threads: `matmul ${name}, 2 threads against 1`,
    full: `matmul ${name}, precision 24, 1 thread`,
    all: [
      matmul,
      ...(hasRelaxedSimd() ? [`${matmul}, relaxed`] : []),
      ...(forward
        ? []
        : [
            `matmul ${name}, of the peak in registers, plain`,
            `matmul ${name}, 2 threads against 1`,
            `matmul ${name}, precision 24, 1 thread`,
          ]),
    ],
  };
};
const others = {
  attentionForward: "attention forward, 8 × 127, 8 heads of 32, 1 thread",
  attentionBackward: "attention backward, 8 × 127, 8 heads of 32, 1 thread",
  vocabularyForward: "vocabulary forward, 128 × 8192, 1 thread",
  vocabularyBackward: "vocabulary backward, 128 × 8192, 1 thread",
  norm: "RMSNorm forward, 1016 × 512, 1 thread",
  adamw: "AdamW, 2^20 parameters, 1 thread",
};

export const wasmKernels: Section = {
  id: "kernels",
  what: "WASM kernels: products against peers and the machine's peak, attention, vocabulary, norms, AdamW",
  names: () => [peakName, ...shapes.flatMap((shape) => namesOf(shape).all), ...Object.values(others)],
  run: (figure, { processorTime }, wanted) => run(figure, processorTime, wanted),
};

async function run(figure: Figure, processorTime: boolean, wanted: (name: string) => boolean): Promise<void> {
  clock = processorTime ? processor : wall;
  const one = await CpuDevice.create(1, { relaxed: false });
  const two = await CpuDevice.create(2, { spawn: spawnThread, relaxed: false });
  const relaxed = hasRelaxedSimd() ? await CpuDevice.create(1, { relaxed: true }) : null;
  const products = shapes.filter((shape) => namesOf(shape).all.some(wanted));
  const peers = products.length > 0 ? await wasmPeers() : {};
  const plainPeak = (await peak(false))!;
  const relaxedPeak = await peak(true);
  await figure(peakName, "GFLOP/s", () => plainPeak(), relaxedPeak ? { "ours, relaxed": () => relaxedPeak() } : {});
  for (const shape of products) {
    const { m, n, k, forward } = shape;
    const names = namesOf(shape);
    const cube = m === n && n === k;
    const flops = (2 * m * n * k) / 1e9;
    const [a, b] = [noise(m * k), noise(n * k)];
    const sides: Record<string, () => Promise<number>> = {};
    for (const [peer, make] of Object.entries(peers)) sides[peer] = rate(flops, await make(shape, a, b));
    const work = product(one, shape);
    await figure(names.plain, "GFLOP/s", rate(flops, work), sides, cube ? { targets: { best: 1.15 } } : {});
    if (relaxed) {
      const all = { ...sides, "ours, plain": rate(flops, work) };
      const fast = rate(flops, product(relaxed, shape));
      await figure(names.relaxed, "GFLOP/s", fast, all, cube ? { targets: { best: 1.35 } } : {});
    }
    if (forward) continue;
    await figure(names.share, "×", shareOfPeak(flops, work, plainPeak), {}, cube ? { targets: { value: 0.85 } } : {});
    const onTwo = product(two, shape);
    await figure(
      names.threads,
      "×",
      async () => (await each(work, wall)) / (await each(onTwo, wall)),
      {},
      cube ? { targets: { value: 1.8 } } : {},
    );
    await figure(names.full, "GFLOP/s", rate(flops, product(one, shape, 24)));
  }

  const [sequences, length, heads, dim] = [8, 127, 8, 32];
  const [rows, width] = [sequences * length, heads * dim];
  const table = Uint32Array.from(
    Array.from({ length: sequences }, (_, s) => [s * length, length, 0, 0, s * length, length]).flat(),
  );
  const numbers = [sequences, heads, heads, dim, length, 12, Math.fround(1 / Math.sqrt(dim))];
  const x = rows * width;
  // Half of the square is seen: two products forward, five backward.
  const seen = (sequences * heads * dim * length * (length + 1)) / 1e9;
  const forward = operands(one, [x, rows * heads * 2, x, x, x, table]);
  await figure(others.attentionForward, "GFLOP/s", rate(2 * seen, call(one, "attention_fwd", forward, numbers)));
  const [out, stats, q, key, value, tableBuffer] = forward;
  const backward = [...operands(one, [x, x, x, x]), out, stats, q, key, value, tableBuffer];
  await figure(others.attentionBackward, "GFLOP/s", rate(5 * seen, call(one, "attention_bwd", backward, numbers)));

  const [scored, vocab] = [128, 8192];
  const targets = new Uint32Array(scored).fill(7);
  const words = scored * vocab;
  const chunk = operands(one, [scored, scored, 4 * scored, words, targets]);
  await figure(
    others.vocabularyForward,
    "Mlogit/s",
    rate(words / 1e6, call(one, "logprob_fwd", chunk, [scored, vocab, vocab, 0, 1])),
  );
  const back = [chunk[3], chunk[2], chunk[4], ...operands(one, [scored, scored])];
  await figure(
    others.vocabularyBackward,
    "Mlogit/s",
    rate(words / 1e6, call(one, "logprob_bwd", back, [scored, vocab, vocab, 0, 1])),
  );

  const norm = operands(one, [rows * 512, rows, rows * 512, 512]);
  const bytes = (rows * 512 * 8) / 1e9;
  await figure(others.norm, "GB/s", rate(bytes, call(one, "rmsnorm_fwd", norm, [rows, 512, 1e-5, 1 / 512])));
  const n = 1 << 20;
  const moments = operands(one, [n, n, new Float32Array(n), new Float32Array(n)]);
  const settings = [n, 1e-4, 0.9, 0.1, 0.999, 0.001, 1, 1, 1e-8, 1, 1];
  // Reads four arrays and writes three.
  await figure(others.adamw, "GB/s", rate((n * 28) / 1e9, call(one, "adamw", moments, settings)));
  for (const device of [one, two, relaxed]) device?.close();
}
