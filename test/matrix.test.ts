/**
 * Every recipe that says it trains from rollouts does: three steps on a tiny model with the recipe's own defaults, twice.
 * Weights change, numbers are finite, the digest repeats. A new recipe is found by itself.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseConfig } from "../core/config.ts";
import { recipeIds } from "../core/generated/recipe-ids.ts";
import { loadRecipe } from "../core/recipe.ts";
import { memoryStorage } from "../core/storage.ts";
import type { TaskSource } from "../core/tasks/index.ts";
import { readsBeyondRollouts, train } from "../core/train.ts";
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
  prompts: (_split, n, _seed, start = 0) =>
    Array.from({ length: n }, (_, i) => ({ prompt: `${"abcd"[(start + i) % 4]}>` })),
  isRight: (scores) => scores.correct === 1,
};

/** A new model's entropy is above what this recipe lets pass: with its default nothing would be learned, by design. */
const params: Record<string, Record<string, unknown>> = { "gtpo-trajectory": { entropy_max: 10 } };

async function run(recipe: string) {
  const config = parseConfig({ ...base, recipe, params: params[recipe] ?? {}, out: "run" });
  const storage = memoryStorage();
  const digests: string[] = [];
  const losses: (number | null)[] = [];
  const runtime = { device, numeric: device, storage, clock: () => 0, threads: 1 };
  const result = await train(config, coin, runtime, {
    onStep: (m) => {
      digests.push(m.digest);
      losses.push(m.loss);
    },
  });
  return { digest: result.digest, digests, losses };
}

const recipes = await Promise.all(recipeIds.map((id) => loadRecipe(id)));
const systems = recipes.filter((r) => !r.option && !r.trains?.refuse && readsBeyondRollouts(r).length === 0);

describe("recipes that train from rollouts", () => {
  test("are most of those that do not refuse", () => {
    // A recipe that neither trains nor refuses reads something that rollouts lack and does not say what.
    const silent = recipes.filter((r) => !r.option && !r.trains?.refuse && !systems.includes(r)).map((r) => r.id);
    expect(silent).toEqual([]);
    expect(systems.length).toBeGreaterThan(20);
  });
  for (const { id } of systems) {
    test(id, async () => {
      const first = await run(id);
      for (const loss of first.losses) expect(Number.isFinite(loss)).toBe(true);
      expect(new Set(first.digests).size, "weights change").toBeGreaterThan(1);
      const second = await run(id);
      expect(second.digest).toBe(first.digest);
    });
  }
});
