/**
 * Equivalence classes: runs that must be one run, bit for bit. Threads, micro-batches, SIMD builds, a second time, a stop
 * and a resume; for full training, adapters, several optimiser steps on a batch and a reference policy.
 */
import { spawnSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseConfig, type TrainConfig } from "../core/config.ts";
import { conformanceCases } from "../core/conformance.ts";
import { type StepMetrics, timeKeys } from "../core/log.ts";
import { type EvaluationLine, readLines } from "../core/run.ts";
import { memoryStorage } from "../core/storage.ts";
import { loadTask } from "../core/tasks/index.ts";
import { train } from "../core/train.ts";
import type { CpuDevice } from "../hosts/cpu.ts";
import { cpu } from "./support/devices.ts";

let one: CpuDevice;
let two: CpuDevice;
beforeAll(async () => {
  one = await cpu(1);
  two = await cpu(2);
});
afterAll(() => {
  one.close();
  two.close();
});

const base = {
  // Partial credit, so that a model this young has groups with something to learn from.
  task: { name: "sort", length: 3, shaping: 0.5 },
  model: { config: { hiddenSize: 24, layers: 2, heads: 3, kvHeads: 1, headDim: 8, intermediateSize: 40 } },
  warmStart: { steps: 4, batch: 6, learningRate: 0.003 },
  promptsPerStep: 4,
  rolloutsPerPrompt: 4,
  maxTokens: 5,
  steps: 4,
  learningRate: 0.002,
  evalPrompts: 3,
  evalSamples: 2,
  checkpointEvery: 1,
  out: "run",
  seed: 3,
};

type Lines = Record<string, unknown>[];

async function run(change: object, device = two, storage = memoryStorage(), stopAfter = 0) {
  const config: TrainConfig = parseConfig({ ...base, ...change });
  const stop = new AbortController();
  const steps: StepMetrics[] = [];
  let clock = 0;
  const runtime = { device, numeric: device, storage, clock: () => clock++, threads: device.threads };
  const result = await train(config, loadTask(config.task as never), runtime, {
    signal: stop.signal,
    onStep(metrics) {
      steps.push(metrics);
      if (metrics.step === stopAfter) stop.abort();
    },
    onWarmStart({ step }) {
      if (-step === stopAfter) stop.abort();
    },
  });
  const text = async (name: string) => new TextDecoder().decode(await storage.read(`run/${name}`));
  const metrics = ((await storage.exists("run/metrics.jsonl")) ? await text("metrics.jsonl") : "")
    .split("\n")
    .filter(Boolean)
    .map((line) => Object.fromEntries(Object.entries(JSON.parse(line)).filter(([key]) => !timeKeys.includes(key))));
  return { result, storage, metrics: metrics as Lines };
}

const variants: Record<string, object> = {
  "full training": {},
  adapters: { lora: { rank: 2, alpha: 4, targetModules: "all-linear" }, warmStart: null },
  "two epochs of two mini-batches": { epochsPerBatch: 2, miniBatches: 2, recipe: "dapo" },
  "a reference policy": { params: { beta: 0.1 } },
  "adapters, the reference without them": { lora: { rank: 2, alpha: 4 }, warmStart: null, params: { beta: 0.1 } },
};

for (const [name, change] of Object.entries(variants)) {
  describe(name, () => {
    test("threads, micro-batches, and a second run change no bit of weights, samples or metrics", async () => {
      const first = await run(change, one);
      expect(first.metrics.length).toBe(4);
      for (const line of first.metrics) {
        expect(line["sampling/importance_sampling_ratio/min"]).toBe(1);
        expect(line["sampling/sampling_logp_difference/max"]).toBe(0);
      }
      // It trains: the weights change from step to step.
      expect(new Set(first.metrics.map((line) => line["digest"])).size).toBe(4);
      const others = [
        await run(change, one),
        await run(change, two),
        await run({ ...change, microBatches: 2 }, two),
        await run({ ...change, microBatches: 4 }, one),
        await run({ ...change, microBatches: 8 }, two),
      ];
      for (const other of others) {
        expect(other.result.digest).toBe(first.result.digest);
        expect(other.metrics).toEqual(first.metrics);
        expect(other.result.eval).toEqual(first.result.eval);
        expect(await other.storage.read("run/samples.jsonl")).toEqual(await first.storage.read("run/samples.jsonl"));
      }
    });
    test("stopped and continued = uninterrupted", async () => {
      const whole = await run(change);
      for (const stopAfter of [1, 3, ...("warmStart" in change ? [] : [-2])]) {
        const storage = memoryStorage();
        const stopped = await run(change, two, storage, stopAfter);
        expect(stopped.result.interrupted).toBe(true);
        expect(stopped.result.steps).toBe(Math.max(0, stopAfter));
        const resumed = await run({ ...change, resume: true }, one, storage);
        expect(resumed.result.digest).toBe(whole.result.digest);
        expect(resumed.metrics).toEqual(whole.metrics);
        expect(resumed.result.eval).toEqual(whole.result.eval);
      }
    });
  });
}

test("a complete run resumed stays as it is; with more steps its last evaluation is one on the way", async () => {
  const storage = memoryStorage();
  const evaluations = async () => {
    const lines = await readLines<EvaluationLine>(storage, "run/evaluations.jsonl");
    return lines.map(({ when, step }) => `${when} ${step}`);
  };
  const whole = await run({ steps: 2 }, one, storage);
  const before = await storage.read("run/evaluations.jsonl");
  const again = await run({ steps: 2, resume: true }, one, storage);
  expect(again.result.eval).toEqual(whole.result.eval);
  expect(again.result.digest).toBe(whole.result.digest);
  expect(await storage.read("run/evaluations.jsonl")).toEqual(before);
  await run({ steps: 2, resume: true, evalSamples: 3 }, one, storage);
  expect(await evaluations()).toEqual(["before 0", "during 2", "after 2"]);
  const longer = await run({ steps: 3, resume: true, evalSamples: 3 }, one, storage);
  expect(await evaluations()).toEqual(["before 0", "during 2", "during 2", "after 3"]);
  expect(longer.result.eval.after).not.toEqual(whole.result.eval.after);
});

test("a penalty inside the token reward reaches the weights", async () => {
  const plain = await run({ recipe: "reinforce-plus-plus", params: { beta: 0 } });
  const penalised = await run({ recipe: "reinforce-plus-plus", params: { beta: 5 }, epochsPerBatch: 2 });
  const same = await run({ recipe: "reinforce-plus-plus", params: { beta: 0 }, epochsPerBatch: 2 });
  expect(penalised.result.digest).not.toBe(same.result.digest);
  expect(plain.result.digest).not.toBe(same.result.digest);
});

test("a different seed gives another run", async () => {
  expect((await run({ seed: 4 })).result.digest).not.toBe((await run({})).result.digest);
});

test("plain and relaxed SIMD give the same digest, relaxed SIMD the golden digests of every kernel", () => {
  const script = new URL("./support/simd-digest.mjs", import.meta.url).pathname;
  const digests = [[], ["--experimental-wasm-relaxed-simd"]].map((flags) => {
    const done = spawnSync(process.execPath, [...flags, script], { encoding: "utf8" });
    expect(done.stderr).toBe("");
    return JSON.parse(done.stdout) as { relaxed: boolean; digest: string; cases: number; missed: string[] };
  });
  // Engines that have relaxed SIMD without a flag build both: the plain build is then asked for by name.
  expect(digests[1].relaxed).toBe(true);
  expect(digests[0].digest).toBe(digests[1].digest);
  expect(digests[1].cases).toBe(conformanceCases().length);
  expect(digests[1].missed).toEqual([]);
});
