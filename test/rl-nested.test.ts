// Nested lists, text statistics, nucleus masks and scalar controllers of core/rl, against numbers worked out by hand.
import { describe, expect, test } from "vitest";
import { Batch } from "../core/batch.ts";
import { Context } from "../core/rl/context.ts";
import { adamScalar, adamStep, asinh, sinh } from "../core/rl/controller.ts";
import { gradients } from "../core/rl/grad.ts";
import { ALL } from "../core/rl/level.ts";
import { type Lists, listLevel, listsOf, nested, unnest } from "../core/rl/nested.ts";
import { bagCosine, countEntropy, counts, distinct, jaccard, ngrams, occurrences } from "../core/rl/text.ts";
import { nucleus } from "../core/rl/vocabulary.ts";

function inContext<T>(batch: Batch, use: (c: Context) => T): T {
  const c = new Context(batch);
  try {
    return use(c);
  } finally {
    c.close();
  }
}
const empty = Batch.from({ lengths: [], fields: {} });

describe("nested lists", () => {
  test("come back as they went in, empty lists too", () => {
    for (const [lists, depth] of [
      [[1, 2, 3], 1],
      [[[1, 2], [], [3]], 2],
      [[[[1], [2, 3]], [], [[4]]], 3],
      [[], 2],
    ] as [Lists, number][]) {
      inContext(empty, (c) => {
        const { vec, levels } = nested(c, "x", lists, { depth });
        expect(levels.length).toBe(depth);
        expect(unnest(levels, vec)).toEqual(lists);
      });
    }
  });

  test("reduce along their own levels, and share the outer levels of others", () => {
    inContext(empty, (c) => {
      const a = nested(c, "a", [[[1, 2], [3]], [[4]]], { differentiate: true });
      const b = nested(c, "b", [[10, 20], [30]], { within: a.levels });
      const sum = a.vec.sumOver(a.levels[1]).mul(b.vec);
      expect(unnest(a.levels.slice(0, 2), sum)).toEqual([[30, 60], [120]]);
      const [slope] = gradients(sum.sumOver(ALL), [a.vec]);
      expect(unnest(a.levels, slope)).toEqual([[[10, 10], [20]], [[30]]]);
    });
  });

  test("name what is wrong", () => {
    inContext(empty, (c) => {
      expect(() => nested(c, "x", [[1], 2])).toThrow("'x' has 2 for a list");
      expect(() => nested(c, "x", [[1], [Number.NaN]])).toThrow("for a number");
      const a = nested(c, "a", [[1], [2]]);
      expect(() => nested(c, "b", [[1]], { within: a.levels })).toThrow("1 entries at depth 0 for 2");
    });
    const flat = Batch.from({ lengths: [1, 1], fields: { logp: [-1, -1] }, shapes: { logp: "token" } });
    inContext(flat, (c) => expect(() => listsOf(c, "logp")).toThrow("'logp' is flat"));
  });

  test("of steps tie the tokens of each turn to them", () => {
    const batch = Batch.from({ lengths: [3, 1], fields: { turn: [0, 1, 1, 0] }, shapes: { turn: "token" } });
    inContext(batch, (c) => {
      const step = listLevel(c, "state", [["a", "b"], ["a"]], "turn");
      expect([...c.number(1, c.token).sumOver(step).values()]).toEqual([1, 2, 1]);
      expect(() => listLevel(c, "state", [["a"], ["a"]], "turn")).toThrow("no entry 1 of trajectory 0");
      expect(() => listLevel(c, "state", [["a"]], "turn")).toThrow("1 lists for 2 trajectories");
    });
  });
});

describe("text statistics", () => {
  test("counts, entropy, n-grams", () => {
    expect([...counts("abac")]).toEqual([
      ["a", 2],
      ["b", 1],
      ["c", 1],
    ]);
    expect(countEntropy(counts("abac"))).toBeCloseTo(0.5 * Math.log(2) + 0.5 * Math.log(4), 14);
    expect(countEntropy(counts(""))).toBe(0);
    expect(ngrams([1, 2, 3], 2)).toEqual(["[1,2]", "[2,3]"]);
    // No n-gram crosses a list; the number 1 and the text "1" differ.
    expect(distinct([[1, 2], [1, 2], [3]], 2)).toBe(0.5);
    expect(new Set([...ngrams([1, 1], 2), ...ngrams(["1", "1"], 2)]).size).toBe(2);
    expect(distinct([[1], []], 2)).toBe(0);
  });

  test("overlaps", () => {
    expect(bagCosine(counts([1, 1, 2]), counts([1, 3]))).toBeCloseTo(2 / Math.sqrt(10), 15);
    expect(bagCosine(counts([1]), counts([]))).toBe(0);
    expect(jaccard(new Set([1, 2, 3]), new Set([2, 3, 4]))).toBe(0.5);
    expect(jaccard(new Set(), new Set())).toBe(0);
    expect(occurrences("aaa aa", "aa")).toBe(2);
    expect(occurrences("abc", "")).toBe(0);
  });
});

describe("nucleus", () => {
  const logits = [Math.log(0.5), Math.log(0.3), Math.log(0.2)];
  const batch = Batch.fromCase({ logits: [[logits]] });
  const mask = (topP: number, least: number, always: number[]) =>
    inContext(batch, (c) => [...nucleus(c, c.field("logits"), { topP, least, always }).values()]);
  test("keeps the token that passes the mass, the least ranks and the special ids", () => {
    expect(mask(0.4, 1, [])).toEqual([1, 0, 0]);
    expect(mask(0.6, 1, [])).toEqual([1, 1, 0]);
    expect(mask(0, 2, [])).toEqual([1, 1, 0]);
    expect(mask(0.4, 0, [2, 99])).toEqual([1, 0, 1]);
    expect(mask(1, 0, [])).toEqual([1, 1, 1]);
  });
});

test("Adam's first step on a number is its learning rate against the sign", () => {
  const one = adamStep(adamScalar(2), 0.3, 0.01);
  expect(one.value).toBeCloseTo(1.99, 9);
  // Second step by hand: m = 0.9·0.03 − 0.1·0.1, v = 0.999·9e-5 + 1e-5.
  const two = adamStep(one, -0.1, 0.01);
  const mean = (0.9 * 0.03 - 0.01) / (1 - 0.81);
  const square = (0.999 * 9e-5 + 1e-5) / (1 - 0.998001);
  expect(two.value).toBeCloseTo(one.value - (0.01 * mean) / (Math.sqrt(square) + 1e-8), 14);
  for (const x of [-3, -0.005, 0, 0.005, 3]) expect(asinh(sinh(x))).toBeCloseTo(x, 13);
  expect(sinh(1)).toBeCloseTo(1.1752011936438014, 14);
});
