/** Demonstrations: verdicts from intervals, the tabular policy against finite differences, the machinery on fast ones. */
import { describe, expect, test } from "vitest";
import { betaDraw, weighted } from "../core/demos/lib/bandit.ts";
import { type Demo, defineDemo, type Lab, loadDemo, runDemo } from "../core/demos/lib/demo.ts";
import { Learner } from "../core/demos/lib/learner.ts";
import { carries, listTask, summing, sums } from "../core/demos/lib/sums.ts";
import { draws, entropyOf, normal, Tabular } from "../core/demos/lib/tabular.ts";
import {
  alike,
  baselineBetween,
  between,
  higher,
  higherByShare,
  lower,
  noWorse,
  seedInterval,
  together,
} from "../core/demos/lib/verdict.ts";
import { demoIds } from "../core/generated/demo-ids.ts";
import { loadRecipe } from "../core/recipe.ts";
import { memoryStorage } from "../core/storage.ts";
import { addition } from "../core/tasks/addition.ts";
import { text } from "../hosts/cli/demo.ts";
import { cpu } from "./support/devices.ts";

const none: Lab = {
  runtime: () => {
    throw new Error("a tabular demonstration asked for a device");
  },
};

describe("intervals over seeds", () => {
  test("are Student's: 5 values, t = 2.776", () => {
    const { mean, low, high } = seedInterval([1, 2, 3, 4, 5])!;
    expect(mean).toBe(3);
    // s = √2.5, s/√5 = √0.5
    expect(high - mean).toBeCloseTo(2.776 * Math.sqrt(0.5), 12);
    expect(mean - low).toBeCloseTo(high - mean, 12);
  });
  test("have no end for one value, no width for equal ones, and are absent where a value is", () => {
    expect(seedInterval([2])).toEqual({ mean: 2, low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY });
    expect(seedInterval([2, 2, 2])).toEqual({ mean: 2, low: 2, high: 2 });
    expect(seedInterval([1, Number.NaN])).toBeNull();
    expect(seedInterval([])).toBeNull();
  });
  test("beyond the table stay between its end and the normal's", () => {
    const many = Array.from({ length: 40 }, (_, k) => k % 2);
    const { mean, high } = seedInterval(many)!;
    const t = (high - mean) / (Math.sqrt(10 / 39) / Math.sqrt(40));
    expect(t).toBeGreaterThan(1.96);
    expect(t).toBeLessThan(2.042);
  });
});

describe("verdicts", () => {
  const around = (mean: number, half: number) => ({ mean, low: mean - half, high: mean + half });
  const row = (difference: number, half: number) => ({
    baseline: around(0.5, 0.01),
    system: around(0.5 + difference, 0.01),
    difference: around(difference, half),
  });
  test("of a side need the whole interval there", () => {
    expect(higher().verdict(row(0.2, 0.1))).toBe("held");
    expect(higher().verdict(row(0.05, 0.1))).toBe("undecided");
    expect(higher().verdict(row(-0.05, 0.1))).toBe("not held");
    expect(higher().verdict(row(0, 0))).toBe("not held");
    expect(lower().verdict(row(-0.2, 0.1))).toBe("held");
    expect(lower(0.15).verdict(row(-0.2, 0.1))).toBe("undecided");
    expect(lower(0.3).verdict(row(-0.2, 0.1))).toBe("not held");
    expect(higherByShare(0.2).verdict(row(0.2, 0.05))).toBe("held");
    expect(higherByShare(0.6).verdict(row(0.2, 0.05))).toBe("not held");
  });
  test("of non-inferiority need the interval above the margin", () => {
    expect(noWorse(0.02).verdict(row(-0.01, 0.005))).toBe("held");
    expect(noWorse(0.02).verdict(row(-0.01, 0.02))).toBe("undecided");
    expect(noWorse(0.02).verdict(row(-0.03, 0.02))).toBe("not held");
    expect(alike(0).verdict(row(0, 0))).toBe("held");
    expect(alike(0.1).verdict(row(0.2, 0.01))).toBe("not held");
  });
  test("of a range look at one arm alone", () => {
    expect(between(0.4, 0.8).verdict(row(0.1, 9))).toBe("held");
    expect(between(0.7, 0.8).verdict(row(0.1, 9))).toBe("not held");
    expect(baselineBetween(0.4, 0.505).verdict(row(0, 9))).toBe("undecided");
    expect(between(0, 1).verdict({ baseline: null, system: null, difference: null })).toBe("undecided");
  });
  test("together are the weakest", () => {
    expect(together(["held", "held"])).toBe("held");
    expect(together(["held", "undecided"])).toBe("undecided");
    expect(together(["undecided", "not held", "held"])).toBe("not held");
  });
});

describe("the tabular policy", () => {
  const policy = () => {
    const made = new Tabular({ prompts: 2, vocabulary: 5, positions: 3, stop: [4] });
    const random = draws(3);
    for (let k = 0; k < made.logits.length; k++) made.logits[k] = normal(random);
    return made;
  };
  test("has the derivatives of finite differences, by log-probabilities and entropies", () => {
    const p = policy();
    const random = draws(4);
    const rollouts = [0, 1, 1, 0].map((q) => p.rollout(q, random));
    const n = rollouts.reduce((sum, r) => sum + r.tokens.length, 0);
    const [a, b] = [Array.from({ length: n }, () => normal(random)), Array.from({ length: n }, () => normal(random))];
    const value = () => {
      const now = rollouts.map((r) => p.score(r.prompt, r.tokens));
      const lp = now.flatMap((r) => r.logp);
      return (
        lp.reduce((sum, x, t) => sum + a[t] * x, 0) + now.flatMap((r) => r.entropy).reduce((s, h, t) => s + b[t] * h, 0)
      );
    };
    const gradient = new Float64Array(p.logits.length);
    p.backward(rollouts, a, b, gradient);
    for (let k = 0; k < p.logits.length; k++) {
      const held = p.logits[k];
      p.logits[k] = held + 1e-5;
      const up = value();
      p.logits[k] = held - 1e-5;
      const down = value();
      p.logits[k] = held;
      expect((up - down) / 2e-5).toBeCloseTo(gradient[k], 7);
    }
  });
  test("draws answers as often as their probabilities say, and ends them at a stop", () => {
    const p = policy();
    const random = draws(5);
    const n = 4000;
    let count = 0;
    for (let k = 0; k < n; k++) {
      const { tokens } = p.rollout(0, random);
      expect(tokens.indexOf(4) === -1 || tokens.indexOf(4) === tokens.length - 1).toBe(true);
      if (tokens[0] === 2) count++;
    }
    const chance = p.answers(0)[2];
    expect(Math.abs(count / n - chance)).toBeLessThan(4 * Math.sqrt((chance * (1 - chance)) / n));
    expect(entropyOf(new Tabular({ prompts: 1, vocabulary: 8 }).next(0, []))).toBeCloseTo(Math.log(8), 12);
  });
  test("learns the right answer under grpo, by steps of the given length", async () => {
    const p = new Tabular({ prompts: 1, vocabulary: 4 });
    const recipe = await loadRecipe("grpo");
    const reward = (r: { tokens: number[] }) => Number(r.tokens[0] === 1);
    const learner = new Learner({ policy: p, recipe, reward, learningRate: 0.5, seed: 1 });
    const before = p.logits.slice();
    learner.step([{ prompt: 0, rollouts: 16 }]);
    const moved = Math.sqrt(p.logits.reduce((sum, x, k) => sum + (x - before[k]) * (x - before[k]), 0));
    expect(moved).toBeCloseTo(0.5, 12);
    for (let k = 0; k < 20; k++) learner.step([{ prompt: 0, rollouts: 16 }]);
    expect(p.answers(0)[1]).toBeGreaterThan(0.9);
  });
  test("previews what it will draw", async () => {
    const p = policy();
    const learner = new Learner({
      policy: p,
      recipe: await loadRecipe("grpo"),
      reward: () => 0,
      learningRate: 1,
      seed: 1,
    });
    const short = learner.preview([{ prompt: 1, rollouts: 2 }]).rollouts;
    expect(learner.drawn).toBe(0);
    expect(learner.draw([{ prompt: 1, rollouts: 4 }]).rollouts.slice(0, 2)).toEqual(short);
    expect(learner.drawn).toBe(4);
  });
});

test("random helpers: Beta draws have the Beta's mean, weighted draws differ and follow the weights", () => {
  const random = draws(9);
  const n = 3000;
  const mean = Array.from({ length: n }, () => betaDraw(random, 2, 6)).reduce((a, b) => a + b, 0) / n;
  expect(Math.abs(mean - 0.25)).toBeLessThan(4 * Math.sqrt((0.25 * 0.75) / 9 / n));
  let first = 0;
  for (let k = 0; k < n; k++) {
    const two = weighted(random, [3, 0, 1, 0], 2);
    expect([...two].sort()).toEqual([0, 2]);
    if (two[0] === 0) first++;
  }
  expect(Math.abs(first / n - 0.75)).toBeLessThan(0.04);
  expect(weighted(random, [0, 1], 2)).toEqual([1]);
});

describe("demonstrations", () => {
  test("are there for the systems that were asked for, complete", async () => {
    const asked =
      "gspo bnpo sapo dcpo spo dagrpo ngrpo gdpo-reward dgpo-mathforge disco mc-grpo unlikeliness sec vade knapsack-rl reinforce-ada topr minpro dispo balanced-aggregation hpt nsr corpo cures";
    expect([...demoIds].sort()).toEqual(asked.split(" ").sort());
    for (const id of demoIds) {
      const demo = await loadDemo(id);
      expect(demo.id).toBe(id);
      expect(demo.seeds).toBeGreaterThanOrEqual(5);
      expect(demo.measures.filter((m) => m.claim).length, id).toBeGreaterThan(0);
      const arms = [demo.baseline, demo.system, ...(demo.others ?? [])];
      expect(new Set(arms).size).toBe(arms.length);
      for (const m of demo.measures) for (const arm of [m.of, m.against]) if (arm) expect(arms, id).toContain(arm);
      await loadRecipe(id);
    }
  });
  test("unknown ones are refused with the nearest", async () => {
    await expect(loadDemo("ngrp")).rejects.toThrow(/no demonstration of 'ngrp'.*did you mean 'ngrpo'/);
  });
  for (const id of ["ngrpo", "cures"]) {
    test(`${id}: twice the same numbers, other ones with other seeds`, async () => {
      const demo = await loadDemo(id);
      const first = await runDemo(demo, none, { seeds: 2 });
      const second = await runDemo(demo, none, { seeds: 2 });
      expect(second).toEqual(first);
      expect(first.seeds).toEqual([1, 2]);
      expect(first.runs[demo.system][0]).not.toEqual(first.runs[demo.system][1]);
      for (const r of first.rows) expect(r.baseline !== null || r.system !== null, r.measure).toBe(true);
    });
  }
  test("ngrpo: what the construction guarantees is measured", async () => {
    const { rows } = await runDemo(await loadDemo("ngrpo"), none, { seeds: 2 });
    expect(rows[0]).toMatchObject({ baseline: { mean: 0 }, system: { mean: 1 }, verdict: "held" });
  });
  test("a transformer's repeats its numbers too", async () => {
    const device = await cpu(1);
    try {
      const runtime = { device, numeric: device, storage: memoryStorage(), clock: () => 0, threads: 1 };
      const { trainTiny, sorting, average } = await import("../core/demos/lib/transformer.ts");
      const keys = { ...sorting, recipe: "gspo", seed: 1, miniBatches: 4, steps: 3, warmStart: { steps: 3, batch: 8 } };
      const once = async () => {
        const shares: number[] = [];
        const lab = { runtime: async () => runtime };
        const onDerivative = ({ dlogp }: { dlogp: Float64Array }) => void shares.push(dlogp.length);
        const { metrics, after } = await trainTiny(lab, { ...keys, evalPrompts: 4, evalSamples: 2 }, { onDerivative });
        return { digest: metrics[2].digest, reward: average(metrics, "reward"), after, shares };
      };
      const first = await once();
      expect(first.shares.length).toBe(12);
      expect(await once()).toEqual(first);
    } finally {
      device.close();
    }
  });
});

describe("sums from a list", () => {
  test("are different, with a carry where asked, and come once a pass, wherever a draw begins", () => {
    const rows = [...sums(6, 1, true), ...sums(6, 1, false)];
    expect(rows.map(carries)).toEqual([...Array(6).fill(true), ...Array(6).fill(false)]);
    const names = rows.map((row) => row.prompt);
    expect(new Set(names).size).toBe(12);
    const drawn = listTask(rows).prompts("train", 24, 5);
    for (const pass of [drawn.slice(0, 12), drawn.slice(12)])
      expect(pass.map((row) => row.prompt).sort()).toEqual([...names].sort());
    expect(drawn.slice(0, 12)).not.toEqual(drawn.slice(12));
    expect(listTask(rows).prompts("train", 5, 5, 9)).toEqual(drawn.slice(9, 14));
  });
  test("are taught in lessons and probed; gradients of parts are those that the optimiser gets", async () => {
    const device = await cpu(1);
    try {
      const runtime = { device, numeric: device, storage: memoryStorage(), clock: () => 0, threads: 1 };
      const { trainTiny } = await import("../core/demos/lib/transformer.ts");
      const [rows, parts] = [sums(4, 1), [] as Float64Array[]];
      const task = listTask(rows, { rewards: addition({ digits: 2, shaping: 1 }).rewards });
      const { metrics, chances } = await trainTiny(
        { runtime: async () => runtime },
        { ...summing, promptsPerStep: 4, rolloutsPerPrompt: 4, steps: 1, seed: 1 },
        {
          task,
          lessons: [{ task: listTask(rows.slice(0, 1)), steps: 25, batch: 4, learningRate: 0.003 }],
          probe: rows,
          async onDerivative({ texts, gradient }) {
            const all = texts.map((_, i) => i);
            for (const t of texts) expect(names).toContain(t.prompt);
            parts.push(await gradient(all), await gradient(all.slice(0, 8)), await gradient(all.slice(8)));
          },
        },
      );
      const norm = (x: Float64Array) => Math.sqrt(x.reduce((sum, d) => sum + d * d, 0));
      const [whole, one, other] = parts;
      expect(norm(whole)).toBeGreaterThan(0);
      expect(norm(whole)).toBeCloseTo(metrics[0].grad_norm!, 5);
      expect(norm(whole.map((d, k) => d - one[k] - other[k]))).toBeLessThan(0.01 * norm(whole));
      expect(chances.before[0]).toBeGreaterThan(Math.max(...chances.before.slice(1)));
      expect(chances.after.length).toBe(4);
    } finally {
      device.close();
    }
  });
  const names = sums(4, 1).map((row) => row.prompt);
});

describe("the machinery", () => {
  const toy = (over: Partial<Demo> = {}): Demo =>
    defineDemo({
      id: "toy",
      claim: "b is above a.",
      task: "none",
      baseline: "a",
      system: "b",
      seeds: 5,
      measures: [{ name: "x", claim: [higher(), between(0, 100)] }, { name: "only b" }],
      measure: async (arm, seed) => ({
        x: seed * seed + (arm === "b" ? 10 + seed / 10 : 0),
        "only b": arm === "b" ? seed : Number.NaN,
      }),
      ...over,
    });
  test("pairs arms by seed: the difference is narrower than either arm", async () => {
    const result = await runDemo(toy(), none);
    const { baseline, system, difference, claim } = result.rows[0];
    expect(result.seeds).toEqual([1, 2, 3, 4, 5]);
    expect(difference!.mean).toBeCloseTo(10.3, 12);
    expect(difference!.high - difference!.low).toBeLessThan((baseline!.high - baseline!.low) / 10);
    expect(system!.mean).toBeCloseTo(21.3, 12);
    expect(claim).toBe("higher, 0 to 100");
    expect(result.rows[1]).toMatchObject({ baseline: null, system: { mean: 3 }, difference: null, verdict: null });
    expect(result.verdict).toBe("held");
  });
  test("a claim that fails is said to", async () => {
    const result = await runDemo(toy({ measures: [{ name: "x", claim: lower() }] }), none);
    expect(result.verdict).toBe("not held");
    const table = text(result, 100);
    expect(table).toContain("at this scale: not held");
    expect(table).toMatch(/x +11 \[.*\] +21\.3 \[.*\] +10\.3 \[.*\] +lower +not held/);
  });
  test("too few seeds and missing measures are refused", async () => {
    await expect(runDemo(toy(), none, { seeds: 1 })).rejects.toThrow(/seeds is 1 — give at least 2/);
    await expect(runDemo(toy({ measures: [{ name: "y" }] }), none)).rejects.toThrow(/a does not give 'y'/);
  });
});
