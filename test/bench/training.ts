/**
 * @file Training steps at three sizes, on one thread and two, against PyTorch on one thread where it is installed; sampling;
 * a whole GRPO step and the share of it that kernels take; memory.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
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
import type { Figure } from "./rl.ts";

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
type Shape = (typeof shapes)["4.9 M"];

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
const [count, length] = [8, 128];

export function open(device: CpuDevice, shape: Shape, precision: Precision = 12): Session {
  const config = modelConfig({ ...shape, maxPositions: 512 });
  return new Session(device, device, newModel(device, device, config, byteTokenizer(), 1, { precision }), optimizer);
}

const seconds = async (work: () => Promise<unknown>): Promise<number> => {
  const t0 = performance.now();
  await work();
  return (performance.now() - t0) / 1000;
};

/** A training step over `sequences` of `tokens` ids. */
export function trainingStep(session: Session, sequences: number, tokens: number): () => Promise<void> {
  const { vocabSize } = session.model.config;
  const batch = Array.from({ length: sequences }, (_, s) => ({
    ids: Uint32Array.from({ length: tokens }, (_, t) => (s * 131 + t * t * 7) % vocabSize),
    from: 1,
  }));
  const scored = sequences * (tokens - 1);
  const dlogp = new Float32Array(scored).fill(-1 / scored);
  return async () => {
    await session.forwardBackward(batch, { dlogp });
    await session.optimStep(1000);
  };
}

interface Native {
  /** Seconds of a step, by the clock and by the processor. */
  step(): Promise<number[]>;
  close(): void;
}

/** PyTorch in a process of its own that waits while it is not its turn; null where it is not installed. */
async function pytorch(shape: Shape): Promise<Native | null> {
  for (const command of ["/usr/bin/python3", "python3"]) {
    const argument = JSON.stringify({ ...shape, sequences: count, tokens: length - 1 });
    const child: ChildProcess = spawn(command, ["test/bench/torch-step.py", argument], {
      stdio: ["pipe", "pipe", "ignore"],
    });
    const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    const first = await new Promise<string>((resolve) => {
      child.once("error", (error) => resolve(`absent: ${error.message}`));
      lines.next().then(({ value }) => resolve(value ?? "absent"));
    });
    if (first.startsWith("ready")) {
      return {
        async step() {
          child.stdin!.write("\n");
          return String((await lines.next()).value)
            .split(" ")
            .map(Number);
        },
        close: () => child.stdin!.end(),
      };
    }
  }
  return null;
}

/**
 * `processorTime`: one thread alone, by processor time, for machines that others work on too: there the clock measures the
 * crowd, and two threads wait for one another.
 */
export async function training(figure: Figure, { processorTime = false } = {}): Promise<void> {
  let told = false;
  for (const [name, shape] of Object.entries(shapes)) {
    const native = await pytorch(shape);
    if (!native && !told) {
      console.error(
        "bench: no PyTorch; to measure it too (Debian): apt-get install python3-torch libopenblas0-pthread",
      );
      told = true;
    }
    const devices = [await CpuDevice.create(2, { spawn: spawnThread }), await CpuDevice.create(1)];
    const sessions = devices.map((device) => open(device, shape));
    const rates = sessions.map((session) => {
      const step = trainingStep(session, count, length);
      return async () => (count * (length - 1)) / (await seconds(step));
    });
    if (processorTime) {
      const step = trainingStep(sessions[1], count, length);
      const ours = async () => {
        const t0 = process.cpuUsage();
        await step();
        const { user, system } = process.cpuUsage(t0);
        return (count * (length - 1)) / ((user + system) / 1e6);
      };
      const theirs = native && { "PyTorch, 1 thread": async () => (count * (length - 1)) / (await native.step())[1] };
      await figure(`training step, ${name}, 8 × 128, 1 thread`, "tokens/s", ours, { ...theirs });
      native?.close();
      for (const session of sessions) session.close();
      for (const device of devices) device.close();
      continue;
    }
    await figure(`training step, ${name}, 8 × 128, 2 threads`, "tokens/s", rates[0], {
      ...(native && { "PyTorch, 1 thread": async () => (count * (length - 1)) / (await native.step())[0] }),
      "ours, 1 thread": rates[1],
    });
    native?.close();
    if (name.startsWith("stories")) {
      const options = { maxTokens: 128, temperature: 1, topK: 0, topP: 1, minP: 0, stopIds: [] };
      let step = 0;
      const sampling = (session: Session) => async () => {
        const random = { seed: 1, stream: 3, step: step++ };
        return (64 * 128) / (await seconds(() => generate(session.model, [[1, 2, 3]], 64, options, random)));
      };
      await figure(`sampling, ${name}, batch 64, 2 threads`, "tokens/s", sampling(sessions[0]), {
        "ours, 1 thread": sampling(sessions[1]),
      });
    }
    if (name === "29.5 M") {
      const { config } = sessions[0].model;
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
      await figure("peak of tensors, 29.5 M, 8 × 128 a micro-batch", "MB", async () => devices[0].memory.peak / 1e6, {
        "estimated before the run": async () => estimate / 1e6,
      });
    }
    for (const session of sessions) session.close();
    for (const device of devices) device.close();
  }
}

/** Steps of the run that `npm start` makes, without its warm start and evaluation: time of a step, and kernels' share. */
export async function grpoStep(figure: Figure): Promise<void> {
  for (const threads of [1, 2]) {
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
    const on = `${threads} thread${threads > 1 ? "s" : ""}`;
    await figure(`GRPO step of npm start's task, ${on}`, "ms", steps);
    await figure(`… share of its time in kernels, ${on}`, "share", async () => {
      await steps();
      return share[share.length - 1];
    });
    device.close();
  }
}
