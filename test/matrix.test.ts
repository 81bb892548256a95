/**
 * Every recipe that says it trains does, from rollouts or from a data set: three steps on a tiny model with the recipe's own
 * defaults, twice. Weights change, numbers are finite, the digest repeats. A new recipe is found by itself.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseConfig } from "../core/config.ts";
import { type DataSource, dataSource } from "../core/data/source.ts";
import { recipeIds } from "../core/generated/recipe-ids.ts";
import { type DataKind, loadRecipe } from "../core/recipe.ts";
import { memoryStorage } from "../core/storage.ts";
import type { TaskSource } from "../core/tasks/index.ts";
import { readsBeyondData, readsBeyondRollouts, train } from "../core/train.ts";
import type { CpuDevice } from "../hosts/cpu.ts";
import { cpu } from "./support/devices.ts";

let device: CpuDevice;
beforeAll(async () => {
  device = await cpu(1);
});
afterAll(() => device.close());

const base = {
  task: "sort",
  model: {
    alphabet: "abcdefgh>",
    config: { hiddenSize: 8, layers: 1, heads: 2, kvHeads: 1, headDim: 4, intermediateSize: 12, initializerRange: 0.4 },
  },
  promptsPerStep: 4,
  rolloutsPerPrompt: 4,
  maxTokens: 4,
  steps: 3,
  epochsPerBatch: 2,
  learningRate: 0.01,
  evalPrompts: 0,
  checkpointEvery: 0,
  seed: 1,
};

/** A task that a new model gets right about half the time, with two rewards of 0 or 1. */
const coin: TaskSource = {
  name: "coin",
  rewards: [
    { name: "correct", weight: 1, fn: ({ completion }) => (/^[a-d]/.test(completion) ? 1 : 0) },
    { name: "short", weight: 0.5, fn: ({ completion }) => (completion.length < 4 ? 1 : 0) },
  ],
  // Sixteen prompts: a pool that a sampler has a choice in.
  prompts: (_split, n, _seed, start = 0) =>
    Array.from({ length: n }, (_, i) => ({ prompt: `${"abcd"[(start + i) % 4]}${"efgh"[((start + i) >> 2) % 4]}>` })),
  isRight: (scores) => scores.correct === 1,
  trainSize: 16,
  supervised: ({ prompt }) => String(prompt).slice(0, 1),
};

/** A new model's entropy is above what this recipe lets pass: with its default nothing would be learned, by design. */
const params: Record<string, Record<string, unknown>> = { "gtpo-trajectory": { entropy_max: 10 } };

/** Words of four letters: those in order are better. */
const words = ["abcd", "bdeg", "cdfh", "aceg", "abgh", "befh"];
const turned = (word: string) => [...word].reverse().join("");
const rows = (columns: (word: string, k: number) => Record<string, unknown>) =>
  words.map((word, k) => ({ where: `row ${k}`, columns: { prompt: `${word[k % 4]}>`, ...columns(word, k) } }));
const set = (of: ReturnType<typeof rows>) => dataSource({ name: "words", rows: of, heldout: of });
const sets: Readonly<Record<DataKind, DataSource>> = {
  pairs: set(rows((word) => ({ chosen: word, rejected: turned(word) }))),
  labels: set(rows((word, k) => ({ completion: k % 2 ? word : turned(word), label: k % 2 === 1 }))),
  completions: set(rows((word) => ({ completion: word }))),
};

interface Trained {
  digest: string;
  digests: string[];
  losses: (number | null)[];
}

async function run(recipe: string, source: TaskSource | DataSource): Promise<Trained> {
  const data = "examples" in source && { task: { data: "words.jsonl" }, epochsPerBatch: 1 };
  const config = parseConfig({ ...base, ...data, recipe, params: params[recipe] ?? {}, out: "run" });
  const storage = memoryStorage();
  const digests: string[] = [];
  const losses: (number | null)[] = [];
  const runtime = { device, numeric: device, storage, clock: () => 0, threads: 1 };
  const result = await train(config, source, runtime, {
    onStep: (m) => {
      digests.push(m.digest);
      losses.push(m.loss);
    },
  });
  return { digest: result.digest, digests, losses };
}

const recipes = await Promise.all(recipeIds.map((id) => loadRecipe(id)));
const systems = recipes.filter((r) => !r.option);
const fromRollouts = systems.filter((r) => !r.trains?.refuse && readsBeyondRollouts(r).length === 0);
const fromData = systems.filter((r) => r.trains?.data && readsBeyondData(r).length === 0);

test("every system trains from rollouts or from data sets, or says why it does not", () => {
  const silent = systems.filter((r) => !r.trains?.refuse && !fromRollouts.includes(r) && !fromData.includes(r));
  expect(silent.map((r) => r.id)).toEqual([]);
  const promised = systems.filter((r) => r.trains?.data && !fromData.includes(r));
  expect(promised.map((r) => r.id)).toEqual([]);
});

/** Three steps, twice: numbers are finite, weights change, the digest repeats. */
async function proves(run: () => Promise<Trained>): Promise<void> {
  const first = await run();
  for (const loss of first.losses) expect(Number.isFinite(loss)).toBe(true);
  expect(new Set(first.digests).size, "weights change").toBeGreaterThan(1);
  const second = await run();
  expect(second.digest).toBe(first.digest);
}

describe("recipes that train from rollouts", () => {
  test("are more than twenty", () => expect(fromRollouts.length).toBeGreaterThan(20));
  for (const { id } of fromRollouts) test(id, () => proves(() => run(id, coin)));
});

describe("recipes that train from data sets", () => {
  test("are more than twenty", () => expect(fromData.length).toBeGreaterThan(20));
  for (const { id, trains } of fromData) test(id, () => proves(() => run(id, sets[trains!.data!])));
});
