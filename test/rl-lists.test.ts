// Primitives on plain lists of numbers and of words, against brute force and known values.
import { describe, expect, test } from "vitest";
import { Batch } from "../core/batch.ts";
import { defineRecipe, objective, prepare, resolveParams } from "../core/recipe.ts";
import { Context } from "../core/rl/context.ts";
import { advance, headShifts } from "../core/rl/curvature.ts";
import { largest, widestSubset } from "../core/rl/filter.ts";
import { byAppearance, members } from "../core/rl/groups.ts";
import { inverse, times } from "../core/rl/linear.ts";
import { roundHalfEven } from "../core/rl/scalar.ts";
import { clipNorm, projectSimplex } from "../core/rl/simplex.ts";
import { softMaximum, softMaximumSurrogate, softmaxOver } from "../core/rl/softmax.ts";
import { editDistance, overlapF1, words } from "../core/rl/text.ts";
import { equalRuns, nextChosen } from "../core/rl/turns.ts";
import { madeUp, random } from "./rl-support.ts";

const over = <T>(batch: Batch, body: (c: Context) => T): T => {
  const c = new Context(batch);
  try {
    return body(c);
  } finally {
    c.close();
  }
};
const rows = (n: number): Batch =>
  Batch.from({ lengths: new Array(n).fill(1), fields: { reward: new Array(n).fill(0) } });

describe("lists", () => {
  test("projection onto the simplex: sums to 1 within the bounds, and moves nothing that lies on it", () => {
    const next = random(3);
    for (let trial = 0; trial < 200; trial++) {
      const p = Array.from({ length: 1 + Math.floor(6 * next()) }, () => 4 * (next() - 0.5));
      const got = projectSimplex(p, 1e-3);
      expect(got.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
      expect(got.every((x) => x >= 1e-3 && x <= 1)).toBe(true);
      // Entries off the bounds all moved by the same amount.
      const shifts = got.flatMap((x, i) => (x > 1e-3 && x < 1 ? [p[i] - x] : []));
      for (const v of shifts) expect(v).toBeCloseTo(shifts[0], 12);
      expect(projectSimplex(got, 1e-3)).toEqual(got.map((x) => expect.closeTo(x, 12)));
    }
    expect(projectSimplex([0.5, 0.5], 0.7)).toEqual([0.7, 0.7]);
    expect(projectSimplex([], 0)).toEqual([]);
    expect(clipNorm([[3], [4]], 1).flat()).toEqual([expect.closeTo(0.6, 6), expect.closeTo(0.8, 6)]);
    expect(clipNorm([[0.3], [0.4]], 1)).toEqual([[0.3], [0.4]]);
  });

  test("the inverse undoes, also where a pivot is 0 at first", () => {
    const a = [
      [0, 2, 1],
      [1, 1, 0],
      [3, 0, 5],
    ];
    for (const x of [
      [1, 0, 0],
      [2, -1, 7],
    ]) {
      times(inverse(a), times(a, x)).forEach((y, i) => {
        expect(y).toBeCloseTo(x[i], 12);
      });
    }
    expect(() => inverse([[0]])).toThrow("no pivot");
  });

  test("halves round to the even number", () => {
    expect([0.5, 1.5, 2.5, -0.5, -1.5, 2.4, 2.6, -2.6].map(roundHalfEven)).toEqual([0, 2, 2, 0, -2, 2, 3, -3]);
  });

  test("edit distance and overlap", () => {
    expect(editDistance([..."kitten"], [..."sitting"])).toBe(3);
    expect(editDistance([], [1, 2])).toBe(2);
    expect(editDistance([1, 2], [1, 2])).toBe(0);
    expect(overlapF1(words("the cat sat"), words(" the  cat "))).toBeCloseTo(4 / 5, 15);
    expect(overlapF1(["a", "a"], ["a"])).toBeCloseTo(2 / 3, 15);
    expect(overlapF1([], [])).toBe(1);
    expect(overlapF1(["a"], [])).toBe(0);
  });
});

describe("subsets", () => {
  test("the widest subset has the greatest variance of all subsets of its size", () => {
    const next = random(5);
    for (let trial = 0; trial < 30; trial++) {
      const n = 2 + Math.floor(6 * next());
      const x = Array.from({ length: n }, () => Math.round(8 * next()) / 4);
      const variance = (chosen: number[]): number => {
        const mean = chosen.reduce((a, b) => a + b, 0) / chosen.length;
        return chosen.reduce((a, b) => a + (b - mean) * (b - mean), 0) / chosen.length;
      };
      for (let size = 1; size <= n; size++) {
        const keep = over(rows(n), (c) => widestSubset(c, c.lift(c.trajectory, x), size).values());
        let most = 0;
        for (let bits = 0; bits < 1 << n; bits++) {
          const chosen = x.filter((_, i) => (bits >> i) & 1);
          if (chosen.length === size) most = Math.max(most, variance(chosen));
        }
        const got = x.filter((_, i) => keep[i] === 1);
        expect(got.length).toBe(size);
        expect(variance(got)).toBeCloseTo(most, 12);
      }
    }
    expect([...over(rows(3), (c) => widestSubset(c, c.reward, 0).values())]).toEqual([0, 0, 0]);
    expect([...over(rows(3), (c) => largest(c, c.reward, 2).values())]).toEqual([1, 1, 0]);
  });

  test("groups in order of first appearance", () => {
    const batch = Batch.from({ lengths: [0, 0, 0, 0], group: [2, 0, 2, 1], fields: { reward: [1, 2, 3, 4] } });
    expect(over(batch, (c) => byAppearance(c, c.reward.sumOver(c.group)))).toEqual([4, 2, 4]);
    expect(over(batch, members)).toEqual([[1], [3], [0, 2]]);
  });
});

describe("softmax over levels", () => {
  const batch = Batch.from({
    lengths: new Array(5).fill(0),
    group: [0, 0, 0, 1, 1],
    fields: { reward: [1000, 1001, 5000, -7, 3], where: [1, 1, 0, 0, 0] },
    shapes: { where: "trajectory" },
  });
  test("only chosen elements count; none chosen gives 0 shares and a finite maximum", () => {
    const share = over(batch, (c) => softmaxOver(c.reward, c.group, c.field("where")).values());
    expect(share[0]).toBeCloseTo(1 / (1 + Math.E), 12);
    expect([...share.slice(2)]).toEqual([0, 0, 0]);
    const soft = over(batch, (c) => softMaximum(c.reward, c.group, c.field("where"), 2).values());
    expect(soft[0]).toBeCloseTo(1001 + 2 * Math.log((1 + Math.exp(-0.5)) / 2), 9);
    expect(Number.isFinite(soft[1])).toBe(true);
    expect([...over(batch, (c) => softMaximumSurrogate(c.reward, c.group, c.field("where"), 2).values())]).toEqual([
      2, 0,
    ]);
  });
});

describe("turns", () => {
  test("runs of equal values step over untrained tokens", () => {
    const batch = Batch.from({
      lengths: [5, 2],
      fields: { x: [1, 1, 9, 1, 2, 2, 2], mask: [1, 0, 0, 1, 1, 1, 1] },
      shapes: { x: "token", mask: "token" },
    });
    over(batch, (c) => {
      const { index } = c.token.edge(equalRuns(c, "runs", c.field("x")));
      expect(index[0]).toBe(index[3]);
      expect(new Set([index[0], index[4], index[5]]).size).toBe(3);
      expect(index[5]).toBe(index[6]);
      expect([...nextChosen(c, c.field("x"), c.mask).values()]).toEqual([1, 1, 1, 2, 0, 2, 0]);
    });
  });
});

describe("curvature of the head", () => {
  const token = { hidden: [0.5, -1], ids: [7, 3], logits: [0.3, -0.2], action: 1, advantage: 0.5 };
  const head = { kind: "sgd" as const, lr: 0.1, beta1: 0.9, beta2: 0.999, eps: 1e-8 };
  test("the predicted shift of the objective is that of the step, to second order", () => {
    const none = { m: {}, v: {}, t: 0 };
    const value = (lr: number): number => {
      // The objective A·ln π(action) after a step of size lr on the two rows.
      const pi = 1 / (1 + Math.exp(-(token.logits[1] - token.logits[0])));
      const hh = token.hidden[0] ** 2 + token.hidden[1] ** 2;
      const gap = token.logits[1] - token.logits[0] + 2 * lr * token.advantage * (1 - pi) * hh;
      return -token.advantage * Math.log1p(Math.exp(-gap));
    };
    for (const lr of [1e-3, 1e-2]) {
      const { objective: shift, policy } = headShifts(token, { ...head, lr }, none);
      // m_H adds (v·u)² to the Hessian of ln π, which has none: its model is that of π/π_old.
      expect(shift - token.advantage * policy).toBeCloseTo(value(lr) - value(0), 8);
    }
    expect(headShifts({ ...token, advantage: 0 }, head, none)).toEqual({ objective: 0, policy: 0 });
  });
  test("moments advance by the mean gradient and decay where a row has none", () => {
    const after = advance([token], 2, head, { m: { 5: [1, 1] }, v: { 5: [1, 1] }, t: 4 });
    expect(after.t).toBe(5);
    expect(after.m[5]).toEqual([0.9, 0.9]);
    expect(after.m[7][0]).toBeCloseTo(-after.m[3][0], 12);
  });
});

describe("carried vectors", () => {
  test("the objective of a part of the batch sees what the whole batch gave", () => {
    const recipe = defineRecipe({
      id: "carrier",
      paper: { title: "test" },
      stage: ["objective"],
      describe: "test",
      formula: "test",
      params: {},
      advantage: (c) => {
        c.carry("mean", c.reward.meanOver(c.all).to(c.trajectory));
        return c.reward;
      },
      loss: (c) => c.field("mean").meanOver(c.all).add(c.logp.sumOver(c.all).mul(0)),
    });
    const batch = madeUp(4);
    const { batch: ready } = prepare(recipe, resolveParams(recipe), batch);
    const reward = batch.fields.get("reward")!.data;
    const mean = reward.reduce((a, b) => a + b, 0) / reward.length;
    expect(objective(recipe, {}, ready.select([0])).loss).toBeCloseTo(mean, 14);
  });
});
