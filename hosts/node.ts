/** @file The engine on Node: WASM on worker threads, files on disk. */
import { availableParallelism } from "node:os";
import type {
  DeviceOptions,
  DoctorResult,
  Engine,
  SampleOptions,
  SampleResult,
  ScoreOptions,
  ScoreResult,
} from "../core/api.ts";
import type { TrainConfig } from "../core/config.ts";
import { CohortError } from "../core/errors.ts";
import { loadModel, makeTrainable } from "../core/model/load.ts";
import { AdamW } from "../core/model/optimizer.ts";
import { pack } from "../core/model/pack.ts";
import { decodeContinuation } from "../core/model/tokenizer.ts";
import { streams } from "../core/rng.ts";
import { generate } from "../core/rollout.ts";
import { Session } from "../core/session.ts";
import { evaluate, openModel, type Runtime, train } from "../core/train.ts";
import { taskSource } from "./cli/task-source.ts";
import { CpuDevice, hasRelaxedSimd } from "./cpu.ts";
import { spawnThread } from "./node-threads.ts";
import { nodeStorage } from "./storage.ts";

export { CpuDevice } from "./cpu.ts";
export { downloadModel } from "./hub.ts";
export { spawnThread } from "./node-threads.ts";
export { nodeStorage } from "./storage.ts";

/** Threads where "auto" is asked for: every core, up to 8. */
function autoThreads(): number {
  return Math.max(1, Math.min(8, availableParallelism()));
}

export async function createDevice(options: DeviceOptions = {}): Promise<CpuDevice> {
  if (options.backend === "webgpu") {
    throw new CohortError("device", "backend webgpu: no adapter of this host is built yet", "use --backend wasm");
  }
  if (options.precision === "fast") {
    throw new CohortError("bad-config", 'precision "fast" needs a GPU', "use 12 or 24");
  }
  const threads = options.threads === undefined || options.threads === "auto" ? autoThreads() : options.threads;
  return CpuDevice.create(threads, { spawn: spawnThread });
}

export async function createEngine(options: DeviceOptions = {}): Promise<Engine> {
  const device = await createDevice(options);
  const storage = nodeStorage();
  const runtime: Runtime = {
    device,
    numeric: device,
    storage,
    clock: () => performance.now(),
    threads: device.threads,
  };
  const precision = (asked: DeviceOptions["precision"]) => (asked === 24 || asked === 12 ? asked : 12);
  return {
    async train(config, hooks) {
      return train(config, await taskSource(config, storage, hooks.onNote), runtime, hooks);
    },
    async evaluate(config, { checkpoint, onNote }) {
      const task = await taskSource(config, storage, onNote);
      const at: TrainConfig = checkpoint ? { ...config, model: checkpoint } : config;
      const session = new Session(device, device, await openModel(at, task, runtime), config.optimizer);
      try {
        return await evaluate(session, task, at);
      } finally {
        session.close();
      }
    },
    async *sample(asked: SampleOptions): AsyncIterable<SampleResult> {
      const loaded = await loadModel(device, device, storage, asked.model, { precision: precision(asked.precision) });
      const { model, tokenizer, stopIds } = loaded;
      try {
        const prompt = tokenizer.encode(asked.prompt);
        const options = { ...asked, topK: asked.topK ?? 0, topP: asked.topP ?? 1, minP: asked.minP ?? 0, stopIds };
        const random = { seed: asked.seed, stream: streams.sample, step: 0 };
        for (const { ids, logp, finish } of await generate(model, [prompt], asked.n, options, random)) {
          const text = finish === "stop" ? ids.slice(0, -1) : ids;
          yield {
            text: decodeContinuation(tokenizer, prompt, text, { skipSpecial: true }),
            ids: [...prompt, ...ids],
            logprob: Array.from(logp),
            finish,
          };
        }
      } finally {
        model.close();
      }
    },
    async score(asked: ScoreOptions): Promise<ScoreResult> {
      const loaded = await loadModel(device, device, storage, asked.model, { precision: precision(asked.precision) });
      const { model, tokenizer } = loaded;
      try {
        const ids = typeof asked.ids === "string" ? tokenizer.encode(asked.ids) : asked.ids;
        const packed = pack([{ ids, from: 1 }], model.maxTokens, model.config.vocabSize);
        const scores = await model.score(packed);
        const n = scores.logp.length;
        const nll = n === 0 ? 0 : -scores.logp.reduce((a, b) => a + b, 0) / n;
        const result: ScoreResult = { logprob: Array.from(scores.logp), entropy: Array.from(scores.entropy), nll };
        if (!asked.grad) return result;
        makeTrainable(model);
        const options = { learningRate: 0, schedule: "constant" as const, warmupSteps: 0, weightDecay: 0 };
        const optimizer = new AdamW(device, device, model.trainable, {
          ...options,
          beta1: 0.9,
          beta2: 0.999,
          epsilon: 1e-8,
          maxGradNorm: 0,
        });
        model.beginStep([packed]);
        await model.forwardBackward(packed, new Float32Array(n).fill(-1 / Math.max(1, n)), null);
        model.endStep();
        const { each } = await optimizer.gradNorm();
        result.grad_l2 = Object.fromEntries(optimizer.parameters.map((p, i) => [p.name, each[i]]));
        optimizer.close();
        return result;
      } finally {
        model.close();
      }
    },
    async doctor(): Promise<DoctorResult> {
      return {
        adapters: [{ name: device.name, exact: true, failed: [] }],
        auto: "wasm",
        notes: {
          threads: device.threads,
          "relaxed SIMD": hasRelaxedSimd() ? "yes" : "no (plain SIMD; the bits are the same)",
        },
      };
    },
    async close() {
      device.close();
    },
  };
}
