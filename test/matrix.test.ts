/**
 * Every recipe that says it trains does, from rollouts or from a data set: three steps on a tiny model with the recipe's own
 * defaults, twice. Weights change, numbers are finite, the digest repeats. A new recipe is found by itself.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseConfig } from "../core/config.ts";
import { type DataSource, dataSource } from "../core/data/source.ts";
import { recipeIds } from "../core/generated/recipe-ids.ts";
import type { Storage } from "../core/host.ts";
import { saveModel } from "../core/model/load.ts";
import { type DataKind, loadRecipe, type Recipe } from "../core/recipe.ts";
import { memoryStorage } from "../core/storage.ts";
import type { TaskSource } from "../core/tasks/index.ts";
import { openModel, readsBeyondData, readsBeyondRollouts, train } from "../core/train.ts";
import type { CpuDevice } from "../hosts/cpu.ts";
import { coin, tiny } from "./support/coin.ts";
import { cpu } from "./support/devices.ts";

let device: CpuDevice;
beforeAll(async () => {
  device = await cpu(1);
});
afterAll(() => device.close());

/** Where a default does not fit so small a run. */
const params: Record<string, Record<string, unknown>> = {
  // A new model's entropy is above what it lets pass: nothing would be learned, by design.
  "gtpo-trajectory": { entropy_max: 10 },
  // Sets of 4 among 4 rollouts are all the same.
  "poly-ppo": { n: 2 },
};

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

/** A model of more layers with the same alphabet. */
async function writeTeacher(storage: Storage, dir: string): Promise<void> {
  const larger = { ...tiny, seed: 2, model: { ...tiny.model, config: { ...tiny.model.config, layers: 2 } } };
  const runtime = { device, numeric: device, storage, clock: () => 0, threads: 1 };
  const loaded = await openModel(parseConfig(larger), coin, runtime);
  await saveModel(loaded, storage, dir);
  loaded.model.close();
}

interface Trained {
  digest: string;
  digests: string[];
  losses: (number | null)[];
}

async function run({ id, option, trains }: Recipe, source: TaskSource | DataSource): Promise<Trained> {
  const data = "examples" in source && { task: { data: "words.jsonl" }, epochsPerBatch: 1 };
  const teacher = trains?.teacher && { reference: "./teacher" };
  const recipe = option ? { recipe: "grpo", options: [id] } : { recipe: id };
  const config = parseConfig({ ...tiny, ...data, ...teacher, ...recipe, params: params[id] ?? {}, out: "run" });
  const storage = memoryStorage();
  if (teacher) await writeTeacher(storage, config.reference);
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
/** Options that need more than a rollout has: put into plain GRPO. */
const supplied = recipes.filter((r) => r.option && !r.trains?.refuse && (r.trains?.supply || r.rows));
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
  for (const recipe of [...fromRollouts, ...supplied]) test(recipe.id, () => proves(() => run(recipe, coin)));
});

describe("recipes that train from data sets", () => {
  test("are more than twenty", () => expect(fromData.length).toBeGreaterThan(20));
  for (const recipe of fromData) test(recipe.id, () => proves(() => run(recipe, sets[recipe.trains!.data!])));
});
