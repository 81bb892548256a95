/**
 * Distillation by rows over the vocabulary: the gradient of the whole path, that chunks, micro-batches and stops change no
 * bit, and that a student comes to agree with its teacher on what is held out.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TrainResult } from "../core/api.ts";
import { parseConfig } from "../core/config.ts";
import { parseRows } from "../core/data/lines.ts";
import { dataSource } from "../core/data/source.ts";
import type { Storage } from "../core/host.ts";
import { makeTrainable } from "../core/model/load.ts";
import { pack } from "../core/model/pack.ts";
import { loadRecipe, resolveParams, rowDerivatives, rowNumbers } from "../core/recipe.ts";
import { memoryStorage } from "../core/storage.ts";
import { train } from "../core/train.ts";
import type { CpuDevice } from "../hosts/cpu.ts";
import { coin, tiny } from "./support/coin.ts";
import { cpu } from "./support/devices.ts";
import { smallModel } from "./support/models.ts";
import { noise } from "./support/reference.ts";
import { forward64, type Weights } from "./support/transformer64.ts";

let device: CpuDevice;
beforeAll(async () => {
  device = await cpu(1);
});
afterAll(() => device.close());

const sequences = [
  { ids: [1, 5, 9, 9, 2, 30, 7, 5], from: 3 },
  { ids: [4, 36], from: 1 },
  { ids: [8, 8, 8, 1, 0, 12, 13], from: 1 },
];
const temperature = 0.8;

/** KL(P_s ‖ P_t) of two rows of logits. */
function reverseKl(student: number[], teacher: number[]): number {
  const logSoftmax = (z: number[]) => {
    const lse = Math.log(z.reduce((sum, x) => sum + Math.exp(x), 0));
    return z.map((x) => x - lse);
  };
  const [s, t] = [logSoftmax(student), logSoftmax(teacher)];
  return s.reduce((sum, x, v) => sum + Math.exp(x) * (x - t[v]), 0);
}

test("the loss of a student moves with every weight as its gradient says", async () => {
  const recipe = await loadRecipe("gkd-reverse-kl");
  const params = resolveParams(recipe, { temperature: 0.9 });
  const model = smallModel(device, "llama, untied, all biases", 24);
  const teacher = smallModel(device, "qwen3", 24, { layers: 1 });
  const weightsOf = async (of: typeof model) => {
    const weights: Weights = new Map();
    for (const p of of.all) weights.set(p.name, Float64Array.from(await device.readF32(p.value)));
    return weights;
  };
  const [weights, fixed] = [await weightsOf(model), await weightsOf(teacher)];
  const packed = pack(sequences, model.maxTokens, model.config.vocabSize);
  const scored = packed.rows.length;
  const drow = Float64Array.from(noise(scored, 3));
  const rowsOf = (of: typeof model, w: Weights) =>
    sequences.flatMap(({ ids, from }) => forward64(of.config, w, ids, temperature).logits.slice(from - 1));
  const scaled = (rows: number[][]) => rows.map((z) => z.map((x) => x / 0.9));
  const target = scaled(rowsOf(teacher, fixed));
  const divergences = () => scaled(rowsOf(model, weights)).map((z, t) => reverseKl(z, target[t]));
  const loss = () => divergences().reduce((sum, kl, t) => sum + drow[t] * kl, 0);

  const held = teacher.hold(packed, temperature);
  const beside = async (at: number, count: number, logits: Float32Array, ..._: unknown[]) => ({
    first: at,
    count,
    logits,
    reference: await held.logits(at, count),
  });
  const row = new Float64Array(scored);
  await model.score(packed, temperature, async (...chunk) => {
    row.set(rowNumbers(recipe, params, await beside(...chunk)), chunk[0]);
  });
  for (const [t, want] of divergences().entries()) expect(row[t]).toBeCloseTo(want, 5);
  makeTrainable(model);
  model.beginStep([packed]);
  await model.forwardBackward(packed, new Float32Array(scored), null, temperature, async (...chunk) => {
    const rows = await beside(...chunk);
    return rowDerivatives(recipe, params, rows, drow.subarray(rows.first, rows.first + rows.count));
  });
  model.endStep();
  held.close();
  for (const p of model.trainable) {
    const grad = await device.readF32(p.grad!);
    const w = weights.get(p.name)!;
    const largest = grad.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
    expect(largest, p.name).toBeGreaterThan(p.name.endsWith("k_proj.bias") ? -1 : 0);
    for (const i of [0, (p.size * 3) >> 3, p.size - 1]) {
      const kept = w[i];
      const h = 1e-5;
      w[i] = kept + h;
      const up = loss();
      w[i] = kept - h;
      const down = loss();
      w[i] = kept;
      const want = (up - down) / (2 * h);
      expect(Math.abs(grad[i] - want), `${p.name}[${i}]: ${grad[i]} for ${want}`).toBeLessThan(
        2e-5 * Math.max(largest, 1) + 1e-4 * Math.abs(want),
      );
    }
  }
  model.close();
  teacher.close();
});

test("chunks of positions change no bit of the gradient", async () => {
  const V = 70_000;
  const model = smallModel(device, "qwen3", 12, { vocabSize: V, layers: 1 });
  makeTrainable(model);
  const long = [0, 1].map((k) => ({ ids: Array.from({ length: 13 }, (_, i) => (i * 7919 * (k + 1)) % V), from: 1 }));
  const gradient = async (pieces: (typeof long)[]) => {
    const packs = pieces.map((p) => pack(p, model.maxTokens, V));
    model.beginStep(packs);
    const chunks: number[] = [];
    for (const packed of packs) {
      const none = new Float32Array(packed.rows.length);
      await model.forwardBackward(packed, none, null, 1, (_, rows, logits) => {
        chunks.push(rows);
        return logits;
      });
    }
    model.endStep();
    return { chunks, gradients: await Promise.all(model.trainable.map((p) => device.readF32(p.grad!))) };
  };
  const together = await gradient([long]);
  const apart = await gradient(long.map((one) => [one]));
  expect(together.chunks).toEqual([16, 8]);
  expect(apart.chunks).toEqual([12, 12]);
  together.gradients.forEach((g, k) => {
    expect(Buffer.compare(Buffer.from(g.buffer), Buffer.from(apart.gradients[k].buffer))).toBe(0);
  });
  model.close();
});

test("from rollouts, the KL over whole rows: with adapters off the reference's rows are those of a copy", async () => {
  const lora = { rank: 2, alpha: 4, targetModules: ["q_proj", "v_proj"] };
  const digests = ["auto", "copy", "none"].map(async (reference) => {
    const given = { recipe: "grpo", kl: reference === "none" ? null : "full", reference, lora, out: "run" };
    const runtime = { device, numeric: device, storage: memoryStorage(), clock: () => 0, threads: 1 };
    return (await train(parseConfig({ ...tiny, ...given }), coin, runtime)).digest;
  });
  const [off, copy, without] = await Promise.all(digests);
  expect(off).toBe(copy);
  expect(off).not.toBe(without);
});

test("a row's number and derivative are its own, whatever rows come along", async () => {
  const V = 40_000;
  for (const id of ["gkd-jsd", "distill-topk"]) {
    const recipe = await loadRecipe(id);
    const params = resolveParams(recipe);
    // More entries than one computation takes.
    const rows = { first: 0, count: 8, logits: noise(8 * V, 1, 4), reference: noise(8 * V, 2, 4) };
    const drow = Float64Array.from(noise(8, 3));
    const numbers = rowNumbers(recipe, params, rows);
    const derivatives = rowDerivatives(recipe, params, rows, drow);
    const cut = (x: Float32Array) => x.subarray(7 * V, 8 * V);
    const last = { first: 7, count: 1, logits: cut(rows.logits), reference: cut(rows.reference) };
    expect(rowNumbers(recipe, params, last)[0]).toBe(numbers[7]);
    expect(rowDerivatives(recipe, params, last, drow.subarray(7))).toEqual(derivatives.subarray(7 * V));
  }
});

test("draws from rows follow the policy at their temperature, and a token's own place alone", async () => {
  const V = 30;
  const recipe = await loadRecipe("otr");
  const params = resolveParams(recipe, { K: 20_000, kappa: 1.3 });
  const tokens = [3, 0, 29, 7];
  const rows = { first: 5, count: 4, logits: noise(4 * V, 1, 3), reference: null, tokens, key: { seed: 1, step: 2 } };
  const numbers = rowNumbers(recipe, params, rows);
  tokens.forEach((label, t) => {
    const z = Array.from(rows.logits.subarray(t * V, (t + 1) * V));
    const share = (by: number) => {
      const e = z.map((x) => Math.exp(x / by));
      return e.map((x) => x / e.reduce((a, b) => a + b));
    };
    const [drawn, policy] = [share(1.3), share(1)];
    const want = drawn.reduce((sum, q, v) => sum + q * (v === label ? 1 : -0.1) * Math.log(policy[v]), 0);
    // Twenty thousand draws of numbers below about one: five deviations.
    expect(Math.abs(numbers[t] - want)).toBeLessThan(0.04);
  });
  const last = { ...rows, first: 8, count: 1, logits: rows.logits.subarray(3 * V), tokens: [7] };
  expect(rowNumbers(recipe, params, last)[0]).toBe(numbers[3]);
  for (const other of [{ first: 9 }, { key: { seed: 2, step: 2 } }, { key: { seed: 1, step: 3 } }])
    expect(rowNumbers(recipe, params, { ...last, ...other })[0]).not.toBe(numbers[3]);
});

const file = join(import.meta.dirname, "../examples/preference-pairs.jsonl");
const examples = parseRows(readFileSync(file, "utf8"), "pairs.jsonl").map(({ where, columns }) => ({
  where,
  columns: { prompt: columns.prompt, completion: columns.chosen },
}));
const source = dataSource({ name: "sorted", rows: examples });

const shape = (hiddenSize: number, layers: number) => ({
  config: { hiddenSize, layers, heads: 2, kvHeads: 2, headDim: 8, intermediateSize: 32, initializerRange: 0.1 },
});

async function run(given: Record<string, unknown>, storage: Storage, stopAt?: number): Promise<TrainResult> {
  const stop = new AbortController();
  const base = {
    task: { data: "sorted.jsonl" },
    model: shape(16, 1),
    reference: "./teacher/checkpoints/step-60",
    promptsPerStep: 8,
    steps: 3,
    learningRate: 0.01,
    evalPrompts: 24,
    checkpointEvery: 0,
    seed: 3,
    out: "run",
  };
  const runtime = { device, numeric: device, storage, clock: () => 0, threads: 1 };
  return train(parseConfig({ ...base, ...given }), source, runtime, {
    signal: stop.signal,
    onStep: ({ step }) => {
      if (step === stopAt) stop.abort();
    },
  });
}

describe("from a data set", () => {
  const taught = memoryStorage();
  beforeAll(async () => {
    await run({ recipe: "sft", reference: "auto", model: shape(24, 2), steps: 60, out: "teacher" }, taught);
  });

  /** The teacher alone. */
  async function withTeacher(): Promise<Storage> {
    const storage = memoryStorage();
    const dir = "teacher/checkpoints/step-60";
    for (const name of await taught.list(dir))
      await storage.write(`${dir}/${name}`, await taught.read(`${dir}/${name}`));
    return storage;
  }

  test("a student comes to agree with its teacher on held-out examples", async () => {
    const { eval: of } = await run({ recipe: "gkd-jsd", promptsPerStep: 16, steps: 80 }, await withTeacher());
    expect(of.after!.metrics!.loss).toBeLessThan(0.2 * of.before!.metrics!.loss!);
  });

  const answers: [string, string, Record<string, unknown>][] = [
    ["given answers", "gkd-jsd", { lmbda: 0 }],
    ["the student's own answers", "gkd-reverse-kl", { lmbda: 1 }],
    ["the likeliest tokens", "distill-topk", { k: 4 }],
    ["draws at every place", "otr", { K: 8 }],
  ];
  test.each(answers)("%s (%s): micro-batches, a stop and a resume change no bit", async (_, recipe, params) => {
    const given = { recipe, params, evalPrompts: 0 };
    const { digest } = await run(given, await withTeacher());
    expect((await run({ ...given, microBatches: 3 }, await withTeacher())).digest).toBe(digest);
    const storage = await withTeacher();
    await run(given, storage, 1);
    expect((await run({ ...given, resume: true }, storage)).digest).toBe(digest);
  });

  test("a student's own answers are others than the given ones", async () => {
    const digests = [0, 1].map(async (lmbda) => {
      const given = { recipe: "gkd-jsd", params: { lmbda }, evalPrompts: 0, steps: 1 };
      return (await run(given, await withTeacher())).digest;
    });
    expect(new Set(await Promise.all(digests)).size).toBe(2);
  });

  test("without a teacher it is refused", async () => {
    await expect(run({ recipe: "gkd-jsd", reference: "auto" }, memoryStorage())).rejects.toThrow(
      /gkd-jsd learns from a teacher, and reference is auto/,
    );
  });
});
