/**
 * What training supplies beside plain rollouts: a pool of prompts that samplers steer through, demonstrations, reference
 * rollouts, segments, second passes. That every recipe which asks for them trains is the matrix's to show.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseConfig } from "../core/config.ts";
import { memoryStorage } from "../core/storage.ts";
import type { TaskSource } from "../core/tasks/index.ts";
import { PromptPool } from "../core/train/pool.ts";
import { SUPPLIES } from "../core/train/supply.ts";
import { type Means, type Step, sequenceOf, type Trajectory } from "../core/train/trajectories.ts";
import { Trainer, train } from "../core/train.ts";
import type { CpuDevice } from "../hosts/cpu.ts";
import { coin, tiny } from "./support/coin.ts";
import { cpu } from "./support/devices.ts";

let device: CpuDevice;
beforeAll(async () => {
  device = await cpu(1);
});
afterAll(() => device.close());

const runtime = (storage = memoryStorage()) => ({ device, numeric: device, storage, clock: () => 0, threads: 1 });
const config = (more: object) => parseConfig({ ...tiny, out: "run", ...more });
const trainer = (more: object, task: TaskSource = coin) => Trainer.create(config(more), task, runtime());

describe("a stopped run goes on bit for bit", () => {
  const runs: [string, object][] = [
    ["spo", { recipe: "spo" }],
    ["sec", { recipe: "sec" }],
    ["knapsack-rl", { recipe: "knapsack-rl" }],
    ["a-star-po", { recipe: "a-star-po" }],
    ["dcpo", { recipe: "dcpo" }],
    ["ppo-gae", { recipe: "grpo", options: ["ppo-gae"] }],
    ["vade", { recipe: "grpo", options: ["vade"] }],
    ["mmr1-vas", { recipe: "grpo", options: ["mmr1-vas"] }],
    ["replay-buffer-top-score", { recipe: "grpo", options: ["replay-buffer-top-score"] }],
    ["reinforce-ada", { recipe: "reinforce-ada" }],
    ["cures", { recipe: "grpo", options: ["cures"] }],
    ["capo-curvature", { recipe: "capo-curvature", params: { top_k: 3 }, microBatches: 2 }],
  ];
  test.each(runs)("%s", async (_, more) => {
    const whole = await train(config({ ...more, steps: 5 }), coin, runtime());
    const storage = memoryStorage();
    const stop = new AbortController();
    await train(config({ ...more, steps: 5 }), coin, runtime(storage), {
      signal: stop.signal,
      onStep: (m) => {
        if (m.step === 2) stop.abort();
      },
    });
    const resumed = await train(config({ ...more, steps: 5, resume: true }), coin, runtime(storage));
    expect(resumed.digest).toBe(whole.digest);
  });
});

describe("the pool", () => {
  const pool = () =>
    PromptPool.of(coin, { promptPool: 0, promptsPerStep: 4, seed: 3 }, (row) => [...String(row.prompt)].map(Number));

  test("holds distinct prompts, and passes over all of them before one comes back", () => {
    const of = pool();
    expect(of.size).toBe(16);
    const pass = [...of.next(4), ...of.next(4), ...of.next(4), ...of.next(4)];
    expect([...pass].sort((a, b) => a - b)).toEqual(Array.from({ length: 16 }, (_, q) => q));
    // A step never holds a prompt twice, where one pass ends and the next begins either.
    const odd = pool();
    for (let k = 0; k < 10; k++) expect(new Set(odd.next(5)).size).toBe(5);
  });

  test("takes what a sampler selects, draws by its weights, and keeps a share for the passes", () => {
    expect(pool().choose({ selected: [7, 2] }, 4, 0, "prompts")).toEqual([7, 2]);
    const weights = Array.from({ length: 16 }, (_, q) => (q < 4 ? 1 : 0));
    expect(new Set(pool().choose({ sampling_weight: weights }, 4, 0, "prompts"))).toEqual(new Set([0, 1, 2, 3]));
    const mixed = pool().choose({ sampling_weight: weights, n_uniform: 2 }, 4, 0, "prompts");
    expect(mixed.slice(0, 2).every((q) => q < 4)).toBe(true);
    expect(new Set(mixed).size).toBe(4);
    const byCategory = pool();
    byCategory.categories = Array.from({ length: 16 }, (_, q) => q % 4);
    expect(byCategory.choose({ sampling_weight: [0, 0, 1] }, 4, 0, "categories").map((q) => q % 4)).toEqual([
      2, 2, 2, 2,
    ]);
    expect(byCategory.choose({ sampling_weight: [0, 0, 0] }, 4, 0, "categories")).toHaveLength(4);
  });

  test("weights of 1 to 3 are drawn so often", () => {
    const of = pool();
    let heavy = 0;
    for (let step = 0; step < 2000; step++) {
      const weights = Array.from({ length: 16 }, (_, q) => (q === 0 ? 3 : q === 1 ? 1 : 0));
      heavy += Number(of.choose({ sampling_weight: weights }, 1, step, "prompts")[0] === 0);
    }
    expect(heavy / 2000).toBeCloseTo(0.75, 1);
  });

  test("a checkpoint of another pool is refused", () => {
    const other = new PromptPool(pool().prompts.slice(0, 3), 3);
    expect(() => other.restore(pool().save())).toThrow(/a checkpoint of 16 prompts, the pool has 3 — continue with/);
  });

  test("a budget decides how many rollouts each prompt gets, and all of them are spent", async () => {
    const hard: TaskSource = {
      ...coin,
      // Two of four prompts cannot be solved, two cannot be failed but for a coin's toss.
      rewards: [
        {
          name: "correct",
          weight: 1,
          fn: ({ row, completion }) => (/^[ab]e/.test(String(row.prompt)) ? 0 : /^[a-d]/.test(completion) ? 1 : 0),
        },
      ],
      trainSize: 4,
    };
    const it = await trainer({ recipe: "knapsack-rl", params: { min_count: 4 } }, hard);
    await it.trainStep();
    const first = it.pool!.history.map((h) => h.seen);
    expect(first).toEqual([4, 4, 4, 4]);
    await it.trainStep();
    const second = it.pool!.history.map((h, q) => h.seen - first[q]);
    expect(second.reduce((a, b) => a + b, 0)).toBe(16);
    expect(new Set(second).size).toBeGreaterThan(1);
    it.close();
  });
});

test("a prompt whose rollouts all fail is learned from its demonstration", async () => {
  const failing: TaskSource = { ...coin, rewards: [{ name: "correct", weight: 1, fn: () => 0 }] };
  const it = await trainer({ recipe: "hpt" }, failing);
  const { tokenizer, stopIds } = it.session.loaded;
  const sequences = coin.prompts("train", 4, 0).map((row) => {
    const prompt = tokenizer.encode(String(row.prompt));
    return {
      ids: [...prompt, ...tokenizer.encode(coin.supervised!(row), { addSpecial: false }), stopIds[0]],
      from: prompt.length,
    };
  });
  const likelihood = async () => (await it.session.score(sequences)).logp.reduce((a, b) => a + b, 0);
  const before = await likelihood();
  for (let step = 0; step < 4; step++) await it.trainStep();
  expect(await likelihood()).toBeGreaterThan(before + 1);
  it.close();
});

test("a critic's values move to the returns, with the recipe's own loss or by themselves", async () => {
  const sure: TaskSource = { ...coin, rewards: [{ name: "correct", weight: 1, fn: () => 1 }] };
  for (const options of [["ppo-gae"], ["ppo-gae", "ppo-value-loss"]]) {
    const it = await trainer({ recipe: "grpo", options, learningRate: 0.05 }, sure);
    const sequences = [{ ids: [0, 1, 2, 3], from: 1 }];
    const distance = async () => {
      const values = await it.critic!.values(sequences, { microBatches: 1 });
      return values.reduce((sum, v) => sum + Math.abs(1 - v), 0) / values.length;
    };
    expect(await distance()).toBe(1);
    for (let step = 0; step < 8; step++) await it.trainStep();
    expect(await distance()).toBeLessThan(0.5);
    it.close();
  }
});

describe("what is missing is named before the run starts", () => {
  const bare: TaskSource = { ...coin, supervised: undefined };
  const refusals: [string, object, TaskSource, RegExp][] = [
    [
      "demonstrations",
      { recipe: "hpt" },
      bare,
      /^recipe hpt reads demo, .* and task coin has no demonstrations — give every row .* "demonstration"/,
    ],
    [
      "a judge",
      { recipe: "dagrpo" },
      bare,
      /^recipe dagrpo reads score, .* neither a judge nor demonstrations — export a reward function named judge/,
    ],
    [
      "whole batches",
      { recipe: "xpo", miniBatches: 2 },
      coin,
      /^recipe xpo reads correct, .* miniBatches is 2 — set miniBatches to 1/,
    ],
    ["tool turns", { recipe: "a2tgpo" }, coin, /^recipe a2tgpo: needs tool turns/],
    ["a reference", { recipe: "aapo", reference: "none" }, coin, /^recipe aapo needs a reference policy/],
  ];
  test.each(refusals)("%s", async (_, more, task, message) => {
    await expect(trainer(more, task)).rejects.toThrow(message);
  });
});

describe("second looks at a rollout", () => {
  const means = (it: Trainer): Means => ({
    config: it.config,
    task: coin,
    session: it.session,
    params: {},
    state: {},
    reference: it.policyReference,
    pool: null,
    critic: null,
    buffer: it.buffer,
    drawn: [],
    look: () => ({}),
    learningRate: 0.01,
    step: 0,
    microBatches: 1,
  });
  const stepOf = async (it: Trainer): Promise<Step> => {
    const { tokenizer } = it.session.loaded;
    const row = { prompt: "ae>" };
    const ids = tokenizer.encode(row.prompt);
    const [completion] = await it.session.sample([ids], 1, it.config, { seed: 5, stream: 3, step: 0 });
    const sample = { prompt: row.prompt, completion: "", completionIds: completion.ids, row };
    const trajectory: Trajectory = {
      ...completion,
      by: "policy",
      context: ids,
      sample,
      rewards: {},
      total: 1,
      scored: true,
      right: true,
    };
    return { prompts: [{ row, ids, index: 0 }], trajectories: [trajectory], drawn: [trajectory], planned: {} };
  };

  test("Σπ² by two temperatures is Σπ² over the vocabulary", async () => {
    const it = await trainer({ recipe: "grpo" });
    const step = await stepOf(it);
    const [got] = (await SUPPLIES.collision.field!(step, means(it), "token")) as number[][];
    const [{ context, ids }] = step.trajectories;
    for (const [k, sum] of got.entries()) {
      const before = [...context, ...ids.slice(0, k)];
      const all = Array.from({ length: it.session.model.config.vocabSize }, (_, v) => ({
        ids: [...before, v],
        from: before.length,
      }));
      const { logp } = await it.session.score(all);
      const direct = logp.reduce((total, lp) => total + Math.exp(2 * lp), 0);
      expect(sum).toBeCloseTo(direct, 5);
    }
    it.close();
  });

  test("rows of logits give the log-probabilities, and a derivative by them the gradient of dlogp", async () => {
    const it = await trainer({ recipe: "grpo" });
    const { session } = it;
    const V = session.model.config.vocabSize;
    const sequences = [
      { ids: [0, 1, 2, 3], from: 1 },
      { ids: [0, 4, 5], from: 2 },
    ];
    const temperature = 0.7;
    const targets = [1, 2, 3, 5];
    const { logp } = await session.score(sequences, { temperature });
    const rows = await session.logits(sequences, { temperature });
    const share = targets.map((_, t) => {
      const e = Array.from(rows.subarray(t * V, (t + 1) * V), Math.exp);
      const sum = e.reduce((a, b) => a + b, 0);
      return e.map((x) => x / sum);
    });
    for (const [t, y] of targets.entries()) expect(Math.log(share[t][y])).toBeCloseTo(logp[t], 5);
    const norm = async (objective: { dlogp: number[]; dlogits?: number[] }, microBatches = 1) => {
      await session.forwardBackward(sequences, objective, { temperature, microBatches });
      return session.optimizer.gradNorm();
    };
    const direct = await norm({ dlogp: [-1, -1, -1, -1] });
    // ∂(−lp_y)/∂z = π − 1_y
    const dlogits = share.flatMap((row, t) => row.map((p, v) => p - Number(v === targets[t])));
    const byRows = await norm({ dlogp: [0, 0, 0, 0], dlogits });
    for (const [k, x] of byRows.each.entries()) expect(x).toBeCloseTo(direct.each[k], 3);
    expect((await norm({ dlogp: [0, 0, 0, 0], dlogits }, 2)).each).toEqual(byRows.each);
    it.close();
  });

  test("the head's view: the likeliest tokens' logits are the head's rows times the last hidden state", async () => {
    const it = await trainer({ recipe: "grpo", temperature: 0.7 });
    const { session } = it;
    const V = session.model.config.vocabSize;
    const one = await stepOf(it);
    const [t] = one.trajectories;
    const step = { ...one, trajectories: [t, { ...t, ids: [0, 3, 5] }, { ...t, ids: [7] }] };
    const view = async (top_k: number, microBatches: number) => {
      const how = { ...means(it), params: { top_k }, microBatches };
      const of = (name: "last-hidden" | "top-ids" | "top-logits" | "top-place") =>
        SUPPLIES[name].field!({ ...step }, how, "raw") as Promise<number[][][]>;
      const [hidden, ids, logits, place] = [of("last-hidden"), of("top-ids"), of("top-logits"), of("top-place")];
      return { hidden: await hidden, ids: await ids, logits: await logits, place: (await place) as unknown };
    };
    const k = 3;
    const seen = await view(k, 1);
    expect(await view(k, 3)).toEqual(seen);
    const rows = await session.logits(step.trajectories.map(sequenceOf), { temperature: 0.7 });
    const embedding = session.model.parameters.get("model.embed_tokens.weight")!;
    const weights = await device.readF32(embedding.value);
    const C = embedding.shape[1];
    let at = 0;
    for (const [i, { ids }] of step.trajectories.entries()) {
      for (const [s, id] of ids.entries()) {
        const row = rows.subarray(at++ * V, at * V);
        const order = [...row.keys()].sort((a, b) => row[b] - row[a] || a - b).slice(0, k);
        expect(seen.ids[i][s]).toEqual(order);
        expect(seen.logits[i][s]).toEqual(order.map((v) => row[v]));
        const place = order.indexOf(id);
        expect((seen.place as (number | null)[][])[i][s]).toBe(place < 0 ? null : place);
        for (const v of order) {
          const z = seen.hidden[i][s].reduce((sum, h, c) => sum + h * weights[v * C + c], 0);
          // Products of the pass have 12 significant bits.
          expect(z / 0.7).toBeCloseTo(row[v], 2);
        }
      }
    }
    expect(at).toBe(t.ids.length + 4);
    expect((await view(1000, 1)).ids[2][0].length).toBe(V);
    it.close();
  });

  test("the belief in the right answer is its teacher-forced probability, a token's geometric mean", async () => {
    const it = await trainer({ recipe: "grpo" });
    const step = await stepOf(it);
    const [got] = (await SUPPLIES["segment-belief"].field!(step, means(it), "ragged")) as number[][];
    const { tokenizer, stopIds } = it.session.loaded;
    const [{ context }] = step.trajectories;
    const answer = [...tokenizer.encode("a", { addSpecial: false }), stopIds[0]];
    const { logp } = await it.session.score([{ ids: [...context, ...answer], from: context.length }]);
    expect(got[0]).toBeCloseTo(Math.exp((logp[0] + logp[1]) / 2), 6);
    const segments = (await SUPPLIES.segment.field!(step, means(it), "token")) as number[][];
    expect(got).toHaveLength(segments[0].at(-1)! + 1);
    it.close();
  });

  test("a failed group is tried again after growing hints; the first that works takes its first row, at its reward", async () => {
    const strict: TaskSource = {
      ...coin,
      rewards: [{ name: "correct", weight: 1, fn: ({ completion }) => Number(completion.startsWith("hh")) }],
      supervised: () => "hh",
    };
    const it = await trainer({ recipe: "scaf-grpo" }, strict);
    const step = await stepOf(it);
    step.trajectories = step.trajectories.map((t) => ({ ...t, total: 0, right: false, rewards: { correct: 0 } }));
    const [before] = step.trajectories;
    const how = { ...means(it), task: strict };
    await SUPPLIES["hint-reward"].rows!(step, how);
    const tried = (await SUPPLIES["hint-reward"].field!(step, how, "raw")) as Record<string, number[]>;
    // Every hint but the working one earns nothing, and none is tried after it.
    expect(tried[0].at(-1)).toBe(1);
    expect(tried[0].slice(0, -1).every((r) => r === 0)).toBe(true);
    expect(tried[0].length).toBeLessThanOrEqual(8);
    const [after] = step.trajectories;
    expect(after.by).toBe("hint");
    expect(after.context.length).toBeGreaterThan(before.context.length);
    expect(after.total).toBe(0);
    it.close();
  });

  test("demonstrations join groups, replace a failed one's last rollout, or begin every second one", async () => {
    const it = await trainer({ recipe: "hpt" });
    const four = async () => {
      const step = await stepOf(it);
      const [t] = step.trajectories;
      step.trajectories = [0, 1, 2, 3].map(() => ({ ...t, right: false }));
      return step;
    };
    const by = (step: Step) => step.trajectories.map((t) => t.by[0]).join("");
    const joined = await four();
    await SUPPLIES.demonstration.rows!(joined, means(it));
    expect(by(joined)).toBe("ppppd");
    expect(SUPPLIES.demonstration.field!(joined, means(it), "trajectory")).toEqual([0, 0, 0, 0, 1]);
    expect(joined.trajectories[4].rewards.correct).toBe(1);
    const anchored = await four();
    await SUPPLIES.anchor.rows!(anchored, means(it));
    expect(by(anchored)).toBe("pppd");
    const solved = await four();
    solved.trajectories[0].right = true;
    await SUPPLIES.anchor.rows!(solved, means(it));
    expect(by(solved)).toBe("pppp");
    const begun = await four();
    await SUPPLIES["roll-in"].rows!(begun, means(it));
    expect(by(begun)).toBe("phph");
    const mask = SUPPLIES["roll-in"].field!(begun, means(it), "token") as number[][];
    // The demonstration is one letter and the stop token: one letter is given.
    expect(mask[1]).toEqual(begun.trajectories[1].ids.map((_, k) => Number(k === 0)));
    it.close();
  });

  test("flat groups give way to kept groups, whose log-probabilities stay those of their day", async () => {
    const it = await trainer({ recipe: "grpo", options: ["replay-buffer-top-score"] });
    const how = (state: object) => ({ ...means(it), state: state as Means["state"], buffer: it.buffer });
    const group = async (rewards: number[]) => {
      const step = await stepOf(it);
      const [t] = step.trajectories;
      step.trajectories = rewards.map((total) => ({ ...t, total }));
      return step;
    };
    const mixed = await group([1, 0, 0, 1]);
    await SUPPLIES["buffer-score"].rows!(mixed, how({ offered: 0, entries: [] }));
    // std 1/√3 (n − 1), Σ|A|·std = 4·½
    const [score] = (await SUPPLIES["buffer-score"].field!(mixed, how({}), "raw")) as number[];
    expect(score).toBeCloseTo(2, 2);
    const dead = await group([0, 0, 0, 0]);
    await SUPPLIES["buffer-score"].rows!(dead, how({ offered: 1, entries: [{ id: 0, score }] }));
    expect(dead.trajectories.map((t) => t.total)).toEqual([1, 0, 0, 1]);
    expect(dead.trajectories.every((t) => t.by === "buffer" && t.logpOld)).toBe(true);
    it.close();
  });

  test("thoughts, lists and style are read from the text, and from the prompt file's columns", async () => {
    const it = await trainer({ recipe: "grpo", model: { ...tiny.model, alphabet: "</think>\nabcdefg .TEAsB" } });
    const { tokenizer, stopIds } = it.session.loaded;
    const one = await stepOf(it);
    const [t] = one.trajectories;
    const of = (texts: readonly string[], columns: object, prompt = "e") => {
      const trajectories = texts.map((completion) => ({
        ...t,
        context: tokenizer.encode(prompt),
        ids: [...tokenizer.encode(completion, { addSpecial: false }), stopIds[0]],
        sample: { ...t.sample, completion, row: { prompt, ...columns } },
      }));
      return { ...one, trajectories };
    };
    const ask = (name: keyof typeof SUPPLIES, step: Step, params = {}) =>
      SUPPLIES[name].field!(step, { ...means(it), params }, "trajectory");
    const thought = of(["<think>be</think>a", "<think> </think>a", "a", "<think>b", "<think>"], { think: true });
    expect(ask("thought-used", thought)).toEqual([1, 0, 0, 0, 0]);
    expect(ask("thought-broken", thought)).toEqual([0, 0, 1, 1, 1]);
    expect(ask("thought-needed", thought)).toEqual([1, 1, 1, 1, 1]);
    // The stop token follows the last one.
    expect(ask("thought-decision", thought)).toEqual([7, 7, null, 7, 7]);
    const opened = of(["be</think>a", "</think>a"], {}, "e<think>");
    expect([ask("thought-used", opened), ask("thought-decision", opened)]).toEqual([
      [1, 0],
      [0, 0],
    ]);
    expect(() => ask("thought-needed", opened)).toThrow(/its column "think" is absent/);
    const list = of(["b\nA \nb\nbe", ""], { relevant: ["a", "b", "be"] });
    expect((ask("hits", list, { rec_num: 3 }) as number[][])[0]).toEqual([1, 1, 0]);
    expect(ask("hits", list, { rec_num: 5 })).toEqual([
      [1, 1, 0, 1, 0],
      [0, 0, 0, 0, 0],
    ]);
    expect(ask("line", list)).toEqual([[0, 0, 1, 1, 1, 2, 2, 3, 3, 3], [0]]);
    expect(ask("last", list)).toEqual([[0, 0, 0, 0, 0, 0, 0, 0, 0, 1], [1]]);
    const prose = of(["be a bee. The End.", "the end is a bee", "theend"], { author: "a bee" });
    expect(ask("the-end", prose)).toEqual([1, 0, 1]);
    expect(ask("word-count", prose)).toEqual([5, 5, 1]);
    const [author] = ask("author-embedding", prose) as number[][];
    expect(author.reduce((a, b) => a + b)).toBe(3);
    const [same] = ask("text-embedding", of(["A BEE"], {})) as number[][];
    expect(same).toEqual(author);
    it.close();
  });

  test("half of a group answers the other wording of its prompt, in pairs", async () => {
    const it = await trainer({ recipe: "grpo", rolloutsPerPrompt: 5 });
    const step = await stepOf(it);
    const [t] = step.trajectories;
    const row = { ...t.sample.row, variant: "bf>" };
    step.prompts = [{ ...step.prompts[0], row }];
    step.trajectories = Array.from({ length: 5 }, () => ({ ...t, sample: { ...t.sample, row } }));
    await SUPPLIES["variant-pairs"].rows!(step, means(it));
    const other = it.session.loaded.tokenizer.encode("bf>");
    expect(step.trajectories.map((v) => v.context)).toEqual([t.context, other, t.context, other]);
    expect(SUPPLIES["variant-pairs"].field!(step, means(it), "raw")).toEqual([
      [0, 1],
      [2, 3],
    ]);
    const { logp } = await it.session.score(step.trajectories.map(sequenceOf));
    expect(step.trajectories.flatMap((v) => [...v.logp])).toEqual([...logp]);
    it.close();
  });

  test("vines start where the first rollout of a group was, and sets hold rollouts of one state", async () => {
    const it = await trainer({ recipe: "grpo", rolloutsPerPrompt: 3 });
    const step = await stepOf(it);
    const [t] = step.trajectories;
    const prefix = it.session.loaded.tokenizer.encode("adfb", { addSpecial: false });
    step.trajectories = [{ ...t, ids: prefix }, t, t];
    const how = { ...means(it), params: { states: 2, sets: 5, n: 2 } };
    await SUPPLIES["vine-sets"].rows!(step, how);
    const vines = step.trajectories.slice(3);
    expect(vines.map((v) => [v.prompt, v.context])).toEqual(
      vines.map(() => [1, [...t.context, ...prefix.slice(0, 2)]]),
    );
    expect(vines.length).toBe(3);
    expect(vines[0].sample.completion.startsWith("ad")).toBe(true);
    const { logp } = await it.session.score(vines.map(sequenceOf));
    expect(vines.flatMap((v) => [...v.logp])).toEqual([...logp]);
    const sets = SUPPLIES["vine-sets"].field!(step, how, "raw") as number[][];
    expect(sets.length).toBe(10);
    for (const [j, set] of sets.entries()) {
      expect(new Set(set).size).toBe(2);
      for (const i of set) expect(step.trajectories[i].prompt).toBe(j < 5 ? 0 : 1);
    }
    expect(new Set(sets.slice(0, 5).map((set) => [...set].sort().join())).size).toBeGreaterThan(1);
    it.close();
    await expect(trainer({ recipe: "poly-ppo", rolloutsPerPrompt: 4 })).rejects.toThrow(
      /all sets of a state are the same/,
    );
    const bare: TaskSource = { ...coin, prompts: (...of) => coin.prompts(...of).map(({ prompt }) => ({ prompt })) };
    for (const [recipe, column] of [
      ["adacot", "think"],
      ["rank-grpo", "relevant"],
      ["style-grpo", "author"],
      ["info-consistent-grpo", "variant"],
    ])
      await expect(trainer({ recipe }, bare)).rejects.toThrow(`has no column "${column}"`);
  });

  test("segments end with lines and sentences, else begin where the policy is unsure", async () => {
    const it = await trainer({ recipe: "grpo", model: { ...tiny.model, alphabet: "abcdefgh>.\n" } });
    const step = await stepOf(it);
    const { tokenizer } = it.session.loaded;
    const of = (text: string, entropy: number[]) => {
      const ids = tokenizer.encode(text, { addSpecial: false });
      const trajectories = [{ ...step.trajectories[0], ids, entropy: Float32Array.from(entropy) }];
      return SUPPLIES.segment.field!({ ...step, trajectories }, means(it), "token");
    };
    expect(of("ab.c\nd", [0, 9, 0, 9, 0, 9])).toEqual([[0, 0, 0, 1, 1, 2]]);
    expect(of("abcd", [2, 0.1, 1, 0.2])).toEqual([[0, 0, 1, 1]]);
    it.close();
  });
});
