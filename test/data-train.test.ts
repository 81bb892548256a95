/**
 * Training from data sets: that it learns what it should, that micro-batches, interruption and the form of the reference
 * change no bit, and what is refused before the run.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TrainResult } from "../core/api.ts";
import { compareRuns } from "../core/compare.ts";
import { parseConfig } from "../core/config.ts";
import { parseRows } from "../core/data/lines.ts";
import { type DataSource, dataSource } from "../core/data/source.ts";
import type { Storage } from "../core/host.ts";
import { metricKeys, type StepMetrics } from "../core/log.ts";
import { loadRecipe, type Recipe } from "../core/recipe.ts";
import { run as replayWith } from "../core/replay.ts";
import { memoryStorage } from "../core/storage.ts";
import { loadTask } from "../core/tasks/index.ts";
import { evaluateData, train } from "../core/train.ts";
import type { CpuDevice } from "../hosts/cpu.ts";
import { cpu } from "./support/devices.ts";

let device: CpuDevice;
beforeAll(async () => {
  device = await cpu(1);
});
afterAll(() => device.close());

const file = join(import.meta.dirname, "../examples/preference-pairs.jsonl");
const rows = parseRows(readFileSync(file, "utf8"), "pairs.jsonl");
const pairs = dataSource({ name: "pairs", rows });
const sorted = (n: number) =>
  rows
    .slice(0, n)
    .map(({ where, columns: { prompt, chosen } }) => ({ where, columns: { prompt, completion: chosen } }));

const base = {
  task: { data: "pairs.jsonl" },
  model: {
    config: {
      hiddenSize: 16,
      layers: 1,
      heads: 2,
      kvHeads: 2,
      headDim: 8,
      intermediateSize: 32,
      initializerRange: 0.1,
    },
  },
  promptsPerStep: 8,
  steps: 3,
  learningRate: 0.01,
  evalPrompts: 64,
  checkpointEvery: 0,
  seed: 3,
};

const runtime = (storage: Storage) => ({ device, numeric: device, storage, clock: () => 0, threads: 1 });

async function run(
  given: Record<string, unknown>,
  source: DataSource = pairs,
  options: { storage?: Storage; stopAt?: number } = {},
): Promise<TrainResult & { steps: number; lines: StepMetrics[]; storage: Storage }> {
  const { storage = memoryStorage(), stopAt } = options;
  const lines: StepMetrics[] = [];
  const stop = new AbortController();
  const result = await train(parseConfig({ ...base, out: "run", ...given }), source, runtime(storage), {
    signal: stop.signal,
    onStep: (m) => {
      lines.push(m);
      if (m.step === stopAt) stop.abort();
    },
  });
  return { ...result, lines, storage };
}

const lossOf = (recipe: Recipe, batch: Record<string, unknown>) =>
  Number((replayWith(recipe, { system: recipe.id, case: "", batch }) as { loss: number }).loss);

describe("it learns", () => {
  test("DPO: held-out pairs in the right order", async () => {
    const { eval: of, lines } = await run({ recipe: "dpo", promptsPerStep: 16, steps: 40 });
    // The policy is the reference: no preference yet, and a loss of ln 2.
    expect(of.before?.metrics).toMatchObject({ "rewards/margins": 0, "rewards/accuracies": 0 });
    expect(lines[0].loss).toBeCloseTo(Math.LN2, 12);
    expect(of.after?.metrics?.["rewards/accuracies"]).toBeGreaterThan(0.9);
    expect(of.after?.metrics?.["rewards/margins"]).toBeGreaterThan(0.5);
    expect(of.after?.prompts).toBe(pairs.heldout.length);
    // Margins are what the two rewards say.
    const { "rewards/chosen": w, "rewards/rejected": l, "rewards/margins": d } = lines.at(-1)!;
    expect(w! - l!).toBeCloseTo(d!, 12);
  });

  test("a reward model: held-out pairs in the right order, and its head is saved as a classifier's", async () => {
    const { eval: of, storage } = await run({ recipe: "reward-model-bt", promptsPerStep: 16, steps: 40 });
    expect(of.before?.metrics?.accuracy).toBeLessThan(0.8);
    expect(of.after?.metrics?.accuracy).toBeGreaterThan(0.9);
    const text = new TextDecoder().decode(await storage.read("run/checkpoints/step-40/config.json"));
    expect(JSON.parse(text).architectures).toEqual([expect.stringMatching(/ForSequenceClassification$/)]);
  });

  test("SFT: ten lines by heart", async () => {
    const ten = dataSource({ name: "ten", rows: sorted(10), heldout: sorted(10) });
    const { eval: of, lines } = await run({ recipe: "sft", promptsPerStep: 10, steps: 120 }, ten);
    expect(lines[0].loss).toBeGreaterThan(1);
    expect(of.after?.metrics?.loss).toBeLessThan(0.05);
    expect(lines.at(-1)?.epoch).toBe(120);
  });
});

describe("no bit changes", () => {
  const recipes = ["dpo", "kto", "reward-model-bt", "sft"];
  test.each(recipes)("%s: with micro-batches, or after a stop and a resume", async (recipe) => {
    const source = recipe === "sft" ? dataSource({ name: "sorted", rows: sorted(40) }) : pairs;
    const { digest, lines } = await run({ recipe }, source);
    expect(lines.map((m) => m.step)).toEqual([1, 2, 3]);
    for (const microBatches of [2, 5]) expect((await run({ recipe, microBatches }, source)).digest).toBe(digest);
    const stopped = await run({ recipe }, source, { stopAt: 1 });
    expect(stopped.interrupted).toBe(true);
    const resumed = await run({ recipe, resume: true }, source, { storage: stopped.storage });
    expect(resumed.digest).toBe(digest);
    expect(resumed.lines).toEqual(lines.slice(1));
  });

  test("with adapters the reference is the model without them, and step one is that of a copy", async () => {
    const lora = { rank: 2, alpha: 4, targetModules: ["q_proj", "v_proj"] };
    const off = await run({ recipe: "dpo", lora });
    const copy = await run({ recipe: "dpo", lora, reference: "copy" });
    expect(copy.digest).toBe(off.digest);
    expect(off.lines[0].loss).toBeCloseTo(Math.LN2, 12);
  });

  test("a reference folder that holds the first weights is as the copy of them; passes over the data go on from a stop", async () => {
    const ten = dataSource({ name: "ten", rows: rows.slice(0, 10), heldout: rows.slice(0, 10) });
    const given = { recipe: "dpo", steps: 4 };
    const copy = await run(given, ten);
    const storage = memoryStorage();
    for (const name of await copy.storage.list("run/reference"))
      await storage.write(`first/${name}`, await copy.storage.read(`run/reference/${name}`));
    expect((await run({ ...given, reference: "./first" }, ten, { storage })).digest).toBe(copy.digest);
    const stopped = await run(given, ten, { stopAt: 3 });
    expect((await run({ ...given, resume: true }, ten, { storage: stopped.storage })).digest).toBe(copy.digest);
  });

  test("an evaluation of the last checkpoint gives what the run said", async () => {
    const { eval: of, storage } = await run({ recipe: "dpo" });
    const config = parseConfig({ ...base, recipe: "dpo", model: "run/checkpoints/step-3" });
    const again = await evaluateData(config, pairs, runtime(storage), "run/reference");
    expect(again).toEqual(of.after);
  });
});

test("every line has the keys of every other run", async () => {
  const { lines, eval: of } = await run({ recipe: "dpo", evalPrompts: 0 });
  expect(Object.keys(lines[0]).slice(0, metricKeys.length)).toEqual([...metricKeys]);
  expect(lines[0].kl).toBeNull();
  expect(lines[0].reward).toBeNull();
  expect(of).toEqual({ before: null, after: null });
});

test("a comparison of two recipes has curves and outcomes of what a data set measures", async () => {
  const runs = [];
  for (const recipe of ["dpo", "simpo"]) {
    for (const seed of [1, 2]) {
      const { lines, eval: of, digest } = await run({ recipe, seed });
      runs.push({ recipe, seed, metrics: lines, eval: of, digest });
    }
  }
  const { curves, outcomes } = compareRuns(runs);
  expect(Object.keys(curves).slice(0, 2)).toEqual(["rewards/accuracies", "rewards/margins"]);
  expect(outcomes["loss before, held out"].dpo.value?.mean).toBeCloseTo(Math.LN2, 12);
  expect(outcomes["accuracy after, held out"].simpo.difference).not.toBeNull();
  expect(outcomes).not.toHaveProperty("reward, mean");
});

test("WPO weighs the same from rows of logits as from log-probabilities and Σp²", async () => {
  const logits = [
    [[0.5, -1, 0.2]],
    [
      [1, 0, -0.5],
      [0.3, 0.1, 2],
    ],
  ];
  const logits_ref = [
    [[0, 0, 0]],
    [
      [0.5, 0.5, 0],
      [0, 1, 1],
    ],
  ];
  const tokens = [[0], [1, 2]];
  const softmax = (z: number[]) => z.map((x) => Math.exp(x) / z.reduce((sum, y) => sum + Math.exp(y), 0));
  const of = (rows: number[][][], f: (p: number[], y: number) => number) =>
    rows.map((list, i) => list.map((z, t) => f(softmax(z), tokens[i][t])));
  const shared = { length: [1, 2], mask: [[1], [1, 1]], pairs: [[0, 1]] };
  const lp = (p: number[], y: number) => Math.log(p[y]);
  const wpo = await loadRecipe("wpo");
  const loss = (batch: Record<string, unknown>) => lossOf(wpo, { ...shared, ...batch });
  const fromRows = loss({ tokens, logits, logits_ref });
  const sum_pi_sq = of(logits, (p) => p.reduce((sum, x) => sum + x * x, 0));
  expect(loss({ logp: of(logits, lp), logp_ref: of(logits_ref, lp), sum_pi_sq })).toBeCloseTo(fromRows, 12);
  expect(fromRows).toBeGreaterThan(0);
});

describe("refused before the run", () => {
  const refused: [string, Record<string, unknown>, RegExp][] = [
    [
      "a recipe that learns from rollouts",
      { recipe: "grpo" },
      /recipe grpo does not learn from a data set — .*prompts and a reward/,
    ],
    [
      "examples of another kind",
      { recipe: "sft" },
      /sft learns from prompt-completion or messages or text examples, pairs has preference ones/,
    ],
    ["several epochs a batch", { recipe: "dpo", epochsPerBatch: 2 }, /epochsPerBatch is 2.*one optimiser step/],
    [
      "a warm start",
      { recipe: "dpo", warmStart: { steps: 1 } },
      /warmStart before a data set — train with recipe sft first/,
    ],
    ["adapters under a new head", { recipe: "reward-model-bt", lora: { rank: 2 } }, /lora with a reward model/],
    ["KTO with one example", { recipe: "kto", promptsPerStep: 1 }, /promptsPerStep is 1/],
    ["no reference for DPO", { recipe: "dpo", reference: "none" }, /dpo needs a reference policy/],
  ];
  test.each(refused)("%s", async (_, given, message) => {
    await expect(run(given)).rejects.toThrow(message);
  });

  test("a data set's recipe on prompts", async () => {
    for (const recipe of ["dpo", "sft", "kto", "reward-model-bt"]) {
      const config = parseConfig({ task: "sort", model: { config: {} }, recipe, out: "run" });
      await expect(train(config, loadTask({ name: "sort" }), runtime(memoryStorage()))).rejects.toThrow(
        new RegExp(`recipe ${recipe}: .* — give it a data set: "task": \\{"data": FILE.jsonl\\}`),
      );
    }
  });
});
