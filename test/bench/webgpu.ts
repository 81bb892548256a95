/**
 * @file The WebGPU backend: products against jax-js and TensorFlow.js on the same adapter; exact beside fast; attention,
 * the vocabulary kernels; what a training step submits and reads back. SwiftShader unless `--hardware` is given; with
 * `--processor-time` a second is one of a processor, all threads together.
 */
import { modelConfig } from "../../core/model/config.ts";
import { newModel } from "../../core/model/load.ts";
import { byteTokenizer } from "../../core/model/tokenizer.ts";
import { Session } from "../../core/session.ts";
import { CpuDevice } from "../../hosts/cpu.ts";
import { GpuDevice } from "../../hosts/gpu.ts";
import { nodeGpu } from "../../hosts/node-gpu.ts";
import { softwareAdapter } from "../support/gpu.ts";
import { optimizer } from "./decoder.ts";
import type { Figure, Section } from "./harness.ts";
import { peer } from "./peers.ts";

const noise = (n: number, spread = 1) =>
  Float32Array.from({ length: n }, (_, i) => ((((i * 2654435761) >>> 0) % 2001) / 1000 - 1) * spread);

/** m × k by k × n; the second operand lies [n, k] where `forward`, as weights do. */
const products: readonly { name: string; m: number; k: number; n: number; forward?: boolean }[] = [
  { name: "256³", m: 256, k: 256, n: 256 },
  { name: "512³", m: 512, k: 512, n: 512 },
  { name: "512³, second operand transposed", m: 512, k: 512, n: 512, forward: true },
  { name: "1024³", m: 1024, k: 1024, n: 1024 },
  { name: "1024 × 256 × 688, transposed", m: 1024, k: 256, n: 688, forward: true },
  { name: "8 × 512 × 2048, transposed", m: 8, k: 512, n: 2048, forward: true },
  { name: "1 × 512 × 2048, transposed", m: 1, k: 512, n: 2048, forward: true },
];

async function adapterOf(hardware: boolean): Promise<GPUAdapter | null> {
  return hardware ? (await nodeGpu()).requestAdapter({ powerPreference: "high-performance" }) : softwareAdapter();
}

/** Seconds of one `work` by a clock; it is done until a tenth of a second has gone. */
async function each(work: () => Promise<unknown>, clock: () => number): Promise<number> {
  const t0 = clock();
  let calls = 0;
  do {
    await work();
    calls++;
  } while (clock() - t0 < 0.1);
  return (clock() - t0) / calls;
}

const wall = () => performance.now() / 1000;

/** Of all threads of the process: on a software adapter, what others do on the machine disturbs it least. */
function processor(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function upload(device: GpuDevice, data: Float32Array | Uint32Array) {
  const buffer = device.alloc(data.length, "operand");
  device.write(buffer, data);
  return buffer;
}

/** Peers look for WebGPU where browsers have it. */
function navigatorOf(hardware: boolean): void {
  const gpu = { requestAdapter: () => adapterOf(hardware), getPreferredCanvasFormat: () => "bgra8unorm" };
  Object.defineProperty(globalThis, "navigator", { value: { userAgent: "Node", gpu }, configurable: true });
}

type Product = (a: Float32Array, b: Float32Array, p: (typeof products)[number]) => () => Promise<unknown>;

async function jax(): Promise<Product | null> {
  const module = await peer("@jax-js/jax");
  if (!module) return null;
  const { numpy: np, init, defaultDevice, jit } = module;
  await init("webgpu");
  defaultDevice("webgpu");
  return (a, b, { m, k, n, forward }) => {
    const x = np.array(a).reshape([m, k]);
    const y = np.array(b).reshape(forward ? [n, k] : [k, n]);
    const product = jit((p: unknown, q: unknown) => np.matmul(p, forward ? np.transpose(q) : q));
    return async () => {
      const z = product(x.ref, y.ref);
      await z.blockUntilReady();
      z.dispose();
    };
  };
}

async function tensorflow(): Promise<Product | null> {
  const core = await peer("@tensorflow/tfjs-core");
  if (!core || !(await peer("@tensorflow/tfjs-backend-webgpu"))) return null;
  const tf = core.default ?? core;
  tf.env().set("WEBGPU_CPU_FORWARD", false);
  await tf.setBackend("webgpu");
  return (a, b, { m, k, n, forward }) => {
    const x = tf.tensor2d(a, [m, k]);
    const y = tf.tensor2d(b, forward ? [n, k] : [k, n]);
    return async () => {
      const z = tf.matMul(x, y, false, !!forward);
      // It records until somebody reads.
      await z.data();
      z.dispose();
    };
  };
}

const matmulName = ({ name }: { name: string }) => `webgpu matmul ${name}`;
const attentionName = (pass: string) => `webgpu attention ${pass}, 4 × 64 tokens, 8 heads of 32`;
const vocabularyName = "webgpu vocabulary kernels both ways, 64 rows of 8192";
const stepName = "webgpu training step, stories260K (0.26 M), 4 × 64";
const counted = ["kernel calls", "submits", "writes to buffers", "readbacks"] as const;
const countName = (what: string) => `webgpu training step, stories260K: ${what}`;
/** Exact mode may be so much slower than fast mode. */
const exactOverFast = { "ours, fast": 1 / 1.5 };

export const webgpu: Section = {
  id: "webgpu",
  what: "the WebGPU backend: products against peers, exact against fast, a training step's calls",
  names: () => [
    ...products.map(matmulName),
    ...["forward", "backward"].map(attentionName),
    vocabularyName,
    stepName,
    ...counted.map(countName),
  ],
  run: (figure, { hardware, processorTime }) => run(figure, hardware, processorTime),
};

async function run(figure: Figure, hardware: boolean, processorTime: boolean): Promise<void> {
  const clock = processorTime ? processor : wall;
  const rate = (amount: number, work: () => Promise<unknown>) => async () => amount / (await each(work, clock));
  const adapter = await adapterOf(hardware);
  if (!adapter) {
    console.error(
      `bench: no WebGPU adapter (${hardware ? "hardware" : "SwiftShader of @sparticuz/chromium"}); left out`,
    );
    return;
  }
  const device = await GpuDevice.create(adapter);
  const fast = new GpuDevice(device.gpu, { fast: true });
  navigatorOf(hardware);
  const others = { "jax-js webgpu": await jax(), "tfjs webgpu": await tensorflow() };
  const on = device.name.replace("WebGPU, ", "");

  for (const product of products) {
    const { m, k, n, forward } = product;
    const [a, b] = [noise(m * k), noise(k * n)];
    const own = (d: GpuDevice, precision: number) => {
      const operands = [new Float32Array(m * n), a, b, new Float32Array(1)].map((data) => upload(d, data));
      const [bK, bCol] = forward ? [1, k] : [n, 1];
      return async () => {
        d.run("matmul", ...operands, m, n, k, k, 1, bK, bCol, n, 0, precision);
        await d.finish();
      };
    };
    const flops = (2 * m * n * k) / 1e9;
    const sides: Record<string, () => Promise<number>> = {};
    for (const [peerName, make] of Object.entries(others)) {
      if (make) sides[peerName] = rate(flops, make(a, b, product));
    }
    sides["ours, fast"] = rate(flops, own(fast, 12));
    sides["ours, precision 24"] = rate(flops, own(device, 24));
    const square = m === k && k === n && !forward && m >= 512;
    const targets = { sides: { ...exactOverFast, ...(square && { "jax-js webgpu": 1.3 }) } };
    await figure(matmulName(product), "GFLOP/s", rate(flops, own(device, 12)), sides, { targets, on });
  }

  const [sequences, length, heads, dim] = [4, 64, 8, 32];
  const rows = sequences * length;
  const table = Uint32Array.from({ length: 6 * sequences }, (_, i) => {
    const first = Math.floor(i / 6) * length;
    return [first, length, 0, 0, first, length][i % 6];
  });
  const attention = (d: GpuDevice) => {
    const wide = () => upload(d, noise(rows * heads * dim));
    const [out, q, k, v, dq, dk, dv, dout] = Array.from({ length: 8 }, wide);
    const stats = upload(d, new Float32Array(2 * rows * heads));
    const layout = upload(d, table);
    const dims = [sequences, heads, heads, dim, length, 12, 1 / Math.sqrt(dim)];
    return {
      forward: async () => {
        d.run("attention_fwd", out, stats, q, k, v, layout, ...dims);
        await d.finish();
      },
      backward: async () => {
        d.run("attention_bwd", dq, dk, dv, dout, out, stats, q, k, v, layout, ...dims);
        await d.finish();
      },
    };
  };
  const [exactAttention, fastAttention] = [attention(device), attention(fast)];
  for (const pass of ["forward", "backward"] as const) {
    await figure(
      attentionName(pass),
      "tokens/s",
      rate(rows, exactAttention[pass]),
      { "ours, fast": rate(rows, fastAttention[pass]) },
      { targets: { sides: exactOverFast }, on },
    );
  }

  const [scored, vocab] = [64, 8192];
  const vocabulary = (d: GpuDevice) => {
    const z = upload(d, noise(scored * vocab, 4));
    const targets = upload(
      d,
      Uint32Array.from({ length: scored }, (_, r) => (r * 37) % vocab),
    );
    const [logp, entropy, dlogp, dentropy] = Array.from({ length: 4 }, () => upload(d, noise(scored)));
    const stats = upload(d, new Float32Array(4 * scored));
    return async () => {
      d.run("logprob_fwd", logp, entropy, stats, z, targets, scored, vocab, vocab, 0, 1);
      d.run("logprob_bwd", z, stats, targets, dlogp, dentropy, scored, vocab, vocab, 0, 1);
      await d.finish();
    };
  };
  await figure(
    vocabularyName,
    "rows/s",
    rate(scored, vocabulary(device)),
    { "ours, fast": rate(scored, vocabulary(fast)) },
    { targets: { sides: exactOverFast }, on },
  );

  const cpu = await CpuDevice.create(1);
  const shape = { vocabSize: 512, hiddenSize: 64, layers: 5, heads: 8, kvHeads: 4, intermediateSize: 172 };
  const config = modelConfig({ ...shape, maxPositions: 512 });
  const batch = Array.from({ length: sequences }, (_, s) => ({
    ids: Uint32Array.from({ length }, (_, t) => (s * 131 + t * t * 7) % 512),
    from: 1,
  }));
  const dlogp = new Float32Array(sequences * (length - 1)).fill(-1 / (sequences * (length - 1)));
  const step = (d: GpuDevice) => {
    const session = new Session(d, cpu, newModel(d, cpu, config, byteTokenizer(), 1, { precision: 12 }), optimizer);
    return async () => {
      await session.forwardBackward(batch, { dlogp });
      await session.optimStep(1000);
    };
  };
  const training = step(device);
  const fastStep = rate(rows, step(fast));
  const extra = { targets: { sides: exactOverFast }, on };
  await figure(stepName, "tokens/s", rate(rows, training), { "ours, fast": fastStep }, extra);
  const counts = { "kernel calls": 0, submits: 0, "writes to buffers": 0, readbacks: 0 };
  const count = (target: object, verb: string, what: keyof typeof counts) => {
    const own = Reflect.get(target, verb).bind(target);
    const value = (...args: unknown[]) => {
      counts[what]++;
      return own(...args);
    };
    Object.defineProperty(target, verb, { value, configurable: true });
  };
  count(device, "run", "kernel calls");
  count(device, "readF32", "readbacks");
  count(device, "readU32", "readbacks");
  count(device.gpu.queue, "submit", "submits");
  count(device.gpu.queue, "writeBuffer", "writes to buffers");
  await training();
  const once = { ...counts };
  for (const what of counted) {
    await figure(countName(what), "a step", async () => once[what], {}, { on });
  }
  fast.close();
  device.close();
  cpu.close();
}
