/**
 * Noise in the hidden states of training passes (core/model/noise.ts): its gradient against float64, what may not change a
 * bit of it, and runs that learn its scale.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseConfig } from "../core/config.ts";
import { loadTensor, openSafetensors } from "../core/model/safetensors.ts";
import { byteTokenizer } from "../core/model/tokenizer.ts";
import { streams } from "../core/rng.ts";
import { Session } from "../core/session.ts";
import { memoryStorage } from "../core/storage.ts";
import { Trainer, train } from "../core/train.ts";
import type { CpuDevice } from "../hosts/cpu.ts";
import { coin, tiny } from "./support/coin.ts";
import { cpu } from "./support/devices.ts";
import { smallModel } from "./support/models.ts";
import { noise as numbers } from "./support/reference.ts";
import { forward64, type Weights } from "./support/transformer64.ts";

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

const optimizer = {
  learningRate: 0.01,
  schedule: "constant" as const,
  warmupSteps: 0,
  weightDecay: 0,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  maxGradNorm: 0,
};
const sequences = [
  { ids: [1, 5, 9, 9, 2, 30, 7, 5], from: 3 },
  { ids: [1, 5, 9, 4], from: 3 },
  { ids: [8, 8, 8, 1, 0, 12, 13, 14, 15, 16], from: 1 },
];
const key = { seed: 3, step: 5, trajectories: [0, 1, 7] };

function open(device: CpuDevice, start: number): Session {
  const model = smallModel(device, "llama", 24);
  const tokenizer = byteTokenizer();
  return new Session(device, device, { model, tokenizer, stopIds: [], rawConfig: {}, files: {} }, optimizer, {
    start,
    learningRate: 0.001,
  });
}

const dlogp = numbers(15, 3);

test("scores and gradients, the scale's among them, agree with float64", async () => {
  const session = open(one, 0.1);
  const { model } = session;
  const scale = model.noise!.logScale;
  one.write(scale.value, Float32Array.of(-2, -1.5));
  const weights: Weights = new Map();
  for (const p of model.all) weights.set(p.name, Float64Array.from(await one.readF32(p.value)));
  const C = model.config.hiddenSize;
  const logp64 = () =>
    sequences.flatMap(({ ids, from }, i) => {
      const perturb = (l: number, t: number) => {
        const sigma = Math.exp(weights.get(scale.name)![l]);
        const counter = [key.step, key.trajectories[i], l * 2 ** 20 + t] as const;
        return Array.from(one.normals(C, 1, [key.seed, streams.perturbation], counter), (x) => x * sigma);
      };
      return forward64(model.config, weights, ids, 1, undefined, perturb).logp.slice(from - 1);
    });
  const scores = await session.score(sequences, { noise: key });
  logp64().forEach((want, t) => {
    expect(scores.logp[t]).toBeCloseTo(want, 4);
  });
  const loss = () => logp64().reduce((sum, x, t) => sum + dlogp[t] * x, 0);
  const trained = await session.forwardBackward(sequences, { dlogp }, { noise: key });
  expect(trained.logp).toEqual(scores.logp);
  for (const [name, tried] of [
    [scale.name, 2],
    ["model.layers.0.self_attn.v_proj.weight", 3],
    ["model.embed_tokens.weight", 200],
  ] as const) {
    const p = model.all.find((q) => q.name === name)!;
    const gradient = await one.readF32(p.grad!);
    const w = weights.get(name)!;
    for (let k = 0; k < tried; k += name.startsWith("model.embed") ? 50 : 1) {
      const kept = w[k];
      w[k] = kept + 1e-5;
      const up = loss();
      w[k] = kept - 1e-5;
      const want = (up - loss()) / 2e-5;
      w[k] = kept;
      expect(Math.abs(gradient[k] - want), `${name}[${k}]: ${gradient[k]} for ${want}`).toBeLessThan(
        1e-4 + 1e-4 * Math.abs(want),
      );
      if (name === scale.name) expect(Math.abs(want)).toBeGreaterThan(1e-3);
    }
  }
  session.close();
});

/** Scores and all gradients of a pass, as bits. */
async function bits(
  session: Session,
  order: readonly number[],
  options: { microBatches?: number; noise?: typeof key },
) {
  const starts = [0, 5, 6, 15];
  const { noise } = options;
  const trajectories = noise && order.map((i) => noise.trajectories[i]);
  const given = { ...options, noise: noise && { ...noise, trajectories: trajectories! } };
  const parts = order.map((i) => dlogp.slice(starts[i], starts[i + 1]));
  const asked = order.map((i) => sequences[i]);
  const scores = await session.forwardBackward(asked, { dlogp: parts.flatMap((p) => [...p]) }, given);
  const logp = new Map(order.map((i, k) => [i, [...scores.logp.slice(scores.offsets[k], scores.offsets[k + 1])]]));
  const gradients = await Promise.all(session.model.trainable.map((p) => session.device.readF32(p.grad!)));
  return { logp: [0, 1, 2].map((i) => logp.get(i)), gradients };
}

describe("noise is a function of seed, step, trajectory, layer and position", () => {
  test("micro-batches, threads, and what a trajectory is packed with change no bit", async () => {
    const [a, b] = [open(one, 0.05), open(two, 0.05)];
    const whole = await bits(a, [0, 1, 2], { noise: key });
    expect(await bits(a, [0, 1, 2], { noise: key, microBatches: 3 })).toEqual(whole);
    expect(await bits(b, [0, 1, 2], { noise: key, microBatches: 2 })).toEqual(whole);
    expect((await bits(a, [2, 0, 1], { noise: key })).logp).toEqual(whole.logp);
    // Scoring, which shares prompts where there is no noise, gives the training pass's bits.
    const scored = await a.score(sequences, { noise: key, microBatches: 2 });
    expect([...scored.logp]).toEqual(whole.logp.flat());
    a.close();
    b.close();
  });

  test("seed, step and trajectory each make other noise; equal prompts of two trajectories differ", async () => {
    const session = open(one, 0.05);
    const logp = async (noise?: typeof key) => (await session.score(sequences, { noise })).logp.join();
    const seen = new Set([
      await logp(),
      await logp(key),
      await logp({ ...key, seed: 4 }),
      await logp({ ...key, step: 6 }),
      await logp({ ...key, trajectories: [1, 0, 7] }),
    ]);
    expect(seen.size).toBe(5);
    session.close();
  });

  test("a scale of 0 is no noise, bit for bit", async () => {
    const session = open(one, 0.05);
    const without = await bits(session, [0, 1, 2], {});
    one.write(session.model.noise!.logScale.value, new Float32Array(2).fill(-200));
    const { logp, gradients } = await bits(session, [0, 1, 2], { noise: key });
    expect(logp).toEqual(without.logp);
    // The scale's own gradient comes last: ±0.
    expect(gradients.slice(0, -1)).toEqual(without.gradients.slice(0, -1));
    session.close();
  });
});

describe("runs", () => {
  const config = (more: object) =>
    parseConfig({ ...tiny, recipe: "alp", params: { sigma_init: 0.05 }, checkpointEvery: 1, ...more, out: "run" });
  const run = (more: object, device = one, storage = memoryStorage(), stop = 0) => {
    const abort = new AbortController();
    return train(
      config(more),
      coin,
      { device, numeric: device, storage, clock: () => 0, threads: device.threads },
      {
        signal: abort.signal,
        onStep: ({ step }) => {
          if (step === stop) abort.abort();
        },
      },
    );
  };

  test("threads, micro-batches, a stop and a resume change no bit; the scale is learned and kept", async () => {
    const storage = memoryStorage();
    const whole = await run({ miniBatches: 2 }, one, storage);
    expect((await run({ miniBatches: 2, microBatches: 3 }, two)).digest).toBe(whole.digest);
    const stopped = memoryStorage();
    await run({ miniBatches: 2 }, one, stopped, 2);
    expect((await run({ miniBatches: 2, resume: true }, one, stopped)).digest).toBe(whole.digest);
    expect((await run({ miniBatches: 2, params: { sigma_init: 0.06 } })).digest).not.toBe(whole.digest);
    const { tensors } = await openSafetensors(storage, `${whole.checkpoint}/noise.safetensors`);
    const [log] = await loadTensor(storage, tensors.get("noise.log_scale")!);
    // Twelve optimiser steps at its own rate of 0.0005.
    expect(log).not.toBe(Math.fround(Math.log(0.05)));
    expect(Math.abs(log - Math.log(0.05))).toBeLessThan(12 * 0.0005 * 1.5);
  });

  test("scale 0 is the ratio without noise, and prompts that are shared are refused", async () => {
    const storage = memoryStorage();
    const bypass = await run({ params: { sigma_init: 0 } }, one, storage);
    expect(await storage.exists(`${bypass.checkpoint}/noise.safetensors`)).toBe(false);
    // Noise far below what f32 adds to the hidden state has the same bits.
    const runtime = { device: one, numeric: one, storage: memoryStorage(), clock: () => 0, threads: 1 };
    const trainer = await Trainer.create(config({ params: { sigma_init: 1e-30 } }), coin, runtime);
    for (let step = 0; step < 3; step++) await trainer.trainStep();
    const plain = await Trainer.create(config({ params: { sigma_init: 0 } }), coin, runtime);
    for (let step = 0; step < 3; step++) await plain.trainStep();
    for (const [name, p] of plain.session.model.parameters) {
      const other = trainer.session.model.parameters.get(name)!;
      expect(await one.readF32(other.value)).toEqual(await one.readF32(p.value));
    }
    trainer.close();
    plain.close();
    await expect(run({ sharePrompts: true })).rejects.toThrow(/noise of its own/);
  });
});
