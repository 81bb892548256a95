/**
 * @file Training steps at three sizes, on two threads and one, against PyTorch on one thread, TensorFlow.js and jax-js where
 * they are installed; sampling; a whole GRPO step and the share of it that kernels take; memory.
 */
import { parseConfig } from "../../core/config.ts";
import type { Precision } from "../../core/device.ts";
import { modelConfig } from "../../core/model/config.ts";
import { newModel } from "../../core/model/load.ts";
import { memoryEstimate, parameterCount } from "../../core/model/memory.ts";
import { byteTokenizer } from "../../core/model/tokenizer.ts";
import { generate } from "../../core/rollout.ts";
import { Session } from "../../core/session.ts";
import { memoryStorage } from "../../core/storage.ts";
import { loadTask } from "../../core/tasks/index.ts";
import { train } from "../../core/train.ts";
import { CpuDevice } from "../../hosts/cpu.ts";
import { spawnThread } from "../../hosts/node-threads.ts";
import { type DecoderShape, optimizer, type PeerStep, type Step, type StepTask, timed } from "./decoder.ts";
import type { Figure, Measure, Section } from "./harness.ts";
import { jaxStep } from "./jax-step.ts";
import type { Options } from "./options.ts";
import { tfjsStep } from "./tfjs-step.ts";
import { torchStep } from "./torch-step.ts";

interface Size {
  readonly name: string;
  readonly shape: DecoderShape;
  /** Of ours on two threads to PyTorch on one, at least. */
  readonly pytorch: number;
}

const sizes: readonly Size[] = [
  {
    name: "stories260K (0.26 M)",
    shape: { vocabSize: 512, hiddenSize: 64, layers: 5, heads: 8, kvHeads: 4, intermediateSize: 172 },
    pytorch: 1,
  },
  {
    name: "4.9 M",
    shape: { vocabSize: 2048, hiddenSize: 256, layers: 6, heads: 8, kvHeads: 8, intermediateSize: 688 },
    pytorch: 0.45,
  },
  {
    name: "29.5 M",
    shape: { vocabSize: 8192, hiddenSize: 512, layers: 8, heads: 8, kvHeads: 8, intermediateSize: 1376 },
    pytorch: 0.4,
  },
];
const [stories, , large] = sizes;

const [count, length] = [8, 128];
const tokens = count * (length - 1);

/** @param spread deviation of the new weights */
export function open(device: CpuDevice, shape: DecoderShape, precision: Precision = 12, spread = 0.02): Session {
  const config = modelConfig({ ...shape, maxPositions: 512, initializerRange: spread });
  return new Session(device, device, newModel(device, device, config, byteTokenizer(), 1, { precision }), optimizer);
}

const seconds = async (work: () => Promise<unknown>): Promise<number> => {
  const t0 = performance.now();
  await work();
  return (performance.now() - t0) / 1000;
};

const batchOf = (vocabSize: number, sequences: number, ids: number) =>
  Array.from({ length: sequences }, (_, s) =>
    Uint32Array.from({ length: ids }, (_, t) => (s * 131 + t * t * 7) % vocabSize),
  );

/** A training step over `sequences` of `ids` ids; its mean loss, nats. */
export function trainingStep(session: Session, sequences: number, ids: number): () => Promise<number> {
  const batch = batchOf(session.model.config.vocabSize, sequences, ids).map((row) => ({ ids: row, from: 1 }));
  const scored = sequences * (ids - 1);
  const dlogp = new Float32Array(scored).fill(-1 / scored);
  return async () => {
    const { logp } = await session.forwardBackward(batch, { dlogp });
    await session.optimStep(1000);
    return -logp.reduce((sum, x) => sum + x, 0) / scored;
  };
}

const makers: Readonly<Record<string, (task: StepTask) => Promise<PeerStep | null>>> = {
  "PyTorch, 1 thread": torchStep,
  "tfjs wasm": tfjsStep,
  "jax-js wasm": jaxStep,
};

interface Peers {
  readonly steps: Record<string, PeerStep>;
  readonly leftOut: Record<string, string>;
}

/**
 * The peers that are installed and whose first two losses are ours: the first tells of the forward pass, the second of
 * gradients and AdamW. Weights are spread widely, so that attention and angles matter to the loss.
 */
async function agreeing(task: StepTask, losses: readonly number[]): Promise<Peers> {
  const steps: Record<string, PeerStep> = {};
  const leftOut: Record<string, string> = {};
  for (const [name, make] of Object.entries(makers)) {
    let peer: PeerStep | null = null;
    try {
      peer = await make(task);
      if (!peer) continue;
      for (const [i, ours] of losses.entries()) {
        const { loss } = await peer.step();
        if (!(Math.abs(loss - ours) <= 1e-3)) leftOut[name] ??= `its loss at step ${i + 1} is ${loss}, ours ${ours}`;
      }
      if (!leftOut[name]) steps[name] = peer;
    } catch (error) {
      leftOut[name] = `failed: ${error instanceof Error ? error.message : error}`;
    }
    if (leftOut[name]) peer?.close();
  }
  return { steps, leftOut };
}

const stepName = ({ name }: Size, { processorTime }: Options) =>
  `training step, ${name}, 8 × 128, ${processorTime ? "1 thread" : "2 threads"}`;
const samplingName = `sampling, ${stories.name}, batch 64, 2 threads`;
const memoryName = `peak of tensors, ${large.name}, 8 × 128 a micro-batch`;

export const training: Section = {
  id: "training",
  what: "a training step of three sizes against PyTorch, tfjs and jax-js; sampling; peak of memory",
  names: (options) => [
    ...sizes.map((size) => stepName(size, options)),
    ...(options.processorTime ? [] : [samplingName, memoryName]),
  ],
  async run(figure, options, wanted) {
    for (const size of sizes) {
      const names = [stepName(size, options)];
      if (!options.processorTime && size === stories) names.push(samplingName);
      if (!options.processorTime && size === large) names.push(memoryName);
      if (names.some(wanted)) await measureSize(figure, size, options, wanted);
    }
  },
};

/**
 * `processorTime`: one thread alone, by processor time, for machines that others work on too: there the clock measures the
 * crowd, and two threads wait for one another.
 */
async function measureSize(
  figure: Figure,
  size: Size,
  options: Options,
  wanted: (name: string) => boolean,
): Promise<void> {
  const { shape } = size;
  const { processorTime } = options;
  const [one, two] = [await CpuDevice.create(1), await CpuDevice.create(2, { spawn: spawnThread })];
  const sessions = [one, two].map((device) => open(device, shape, 12, 1 / Math.sqrt(shape.hiddenSize)));
  const steps = sessions.map((session) => trainingStep(session, count, length));
  const rate = ({ seconds, processorSeconds }: Step) => tokens / (processorTime ? processorSeconds : seconds);

  if (wanted(stepName(size, options))) {
    const weights: [string, { shape: readonly number[]; data: Float32Array }][] = [];
    for (const { name, shape, value } of sessions[0].model.all) {
      weights.push([name, { shape, data: (await one.readF32(value)).slice() }]);
    }
    const task: StepTask = {
      shape,
      learningRate: optimizer.learningRate,
      sequences: batchOf(shape.vocabSize, count, length),
      weights: new Map(weights),
    };
    const losses = [await steps[0](), await steps[0]()];
    const { steps: peers, leftOut } = await agreeing(task, losses);
    const [onOne, onTwo]: Measure[] = steps.map((step) => async () => rate(await timed(step)));
    const sides: Record<string, Measure> = processorTime ? {} : { "ours, 1 thread": onOne };
    const least: Record<string, number> = { "tfjs wasm": 3, "jax-js wasm": 3 };
    // Asked of two threads.
    if (!processorTime) least["PyTorch, 1 thread"] = size.pytorch;
    for (const [name, peer] of Object.entries(peers)) sides[name] = async () => rate(await peer.step());
    const extra = { targets: { sides: least }, leftOut };
    await figure(stepName(size, options), "tokens/s", processorTime ? onOne : onTwo, sides, extra);
    for (const peer of Object.values(peers)) peer.close();
  }
  if (!processorTime && size === stories) {
    const limits = { maxTokens: 128, temperature: 1, topK: 0, topP: 1, minP: 0, stopIds: [] };
    let step = 0;
    const sampling = (session: Session) => async () => {
      const random = { seed: 1, stream: 3, step: step++ };
      return (64 * 128) / (await seconds(() => generate(session.model, [[1, 2, 3]], 64, limits, random)));
    };
    const side = { "ours, 1 thread": sampling(sessions[0]) };
    // Three times llama2.c's one stream.
    await figure(samplingName, "tokens/s", sampling(sessions[1]), side, { targets: { value: 38_000 } });
  }
  if (!processorTime && size === large && wanted(memoryName)) {
    const { config } = sessions[1].model;
    const estimate = memoryEstimate({
      config,
      trainable: parameterCount(config),
      adapters: 0,
      referenceCopy: false,
      microBatchTokens: count * length,
      microBatchScored: count * length,
      cacheRows: 0,
      maxTokens: 512,
      threads: 2,
    });
    await steps[1]();
    await figure(memoryName, "MB", async () => two.memory.peak / 1e6, {
      "ours, estimated before the run": async () => estimate / 1e6,
    });
  }
  for (const session of sessions) session.close();
  for (const device of [one, two]) device.close();
}

const grpoName = (threads: number) => `GRPO step of npm start's task, ${threads} thread${threads > 1 ? "s" : ""}`;
const shareName = (threads: number) => `${grpoName(threads)}, share of its time in kernels`;

/** Steps of the run that `npm start` makes, without its warm start and evaluation: time of a step, and kernels' share. */
export const grpoStep: Section = {
  id: "grpo",
  what: "a whole GRPO step of npm start's task, and the share of its time in kernels",
  names: () => [1, 2].flatMap((threads) => [grpoName(threads), shareName(threads)]),
  async run(figure, _, wanted) {
    for (const threads of [1, 2]) {
      if (wanted(grpoName(threads)) || wanted(shareName(threads))) await measureGrpo(figure, threads);
    }
  },
};

async function measureGrpo(figure: Figure, threads: number): Promise<void> {
  const device = await CpuDevice.create(threads, { spawn: spawnThread });
  const { exports } = device;
  let inKernels = 0;
  const run = (program: number, commands: number) => {
    const t0 = performance.now();
    exports.run(program, commands);
    inKernels += performance.now() - t0;
  };
  Object.assign(device, { exports: { ...exports, run } });
  const config = parseConfig({ steps: 4, warmStart: null, evalEvery: 0, evalPrompts: 1, evalSamples: 1, out: "run" });
  const share: number[] = [];
  const steps = async () => {
    const ends: { at: number; kernels: number }[] = [];
    const runtime = { device, numeric: device, storage: memoryStorage(), clock: () => performance.now(), threads };
    await train(config, loadTask(config.task as never), runtime, {
      onStep: () => void ends.push({ at: performance.now(), kernels: inKernels }),
    });
    const [from, to] = [ends[0], ends[ends.length - 1]];
    share.push((to.kernels - from.kernels) / (to.at - from.at));
    return (to.at - from.at) / (ends.length - 1);
  };
  await figure(grpoName(threads), "ms", steps);
  const measured = async () => {
    await steps();
    return share[share.length - 1];
  };
  await figure(shareName(threads), "share", measured, {}, { targets: { value: 0.85 } });
  device.close();
}
