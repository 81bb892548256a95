import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { defaultKs, majAtK, passAtK, summarize } from "../core/evaluate.ts";
import { meanInterval, standardDeviation } from "../core/statistics.ts";

/** Every k-subset of 0 … n − 1. */
function* subsets(n: number, k: number, from = 0): Generator<number[]> {
  if (k === 0) yield [];
  else for (let i = from; i <= n - k; i++) for (const rest of subsets(n, k - 1, i + 1)) yield [i, ...rest];
}

test("pass@k is the share of subsets with a right sample", () => {
  for (let n = 1; n <= 8; n++) {
    for (let c = 0; c <= n; c++) {
      for (let k = 1; k <= n; k++) {
        const all = [...subsets(n, k)];
        const hit = all.filter((s) => s.some((i) => i < c)).length;
        expect(passAtK(n, c, k)).toBeCloseTo(hit / all.length, 12);
      }
    }
  }
});

test("pass@k at its edges", () => {
  expect(passAtK(10, 3, 1)).toBeCloseTo(0.3, 15);
  expect(passAtK(10, 0, 10)).toBe(0);
  expect(passAtK(10, 1, 10)).toBe(1);
  expect(passAtK(1_000_000, 1, 500_000)).toBeCloseTo(0.5, 9);
  for (const [n, c, k] of [
    [4, 1, 0],
    [4, 1, 5],
    [4, 5, 1],
    [4, -1, 1],
    [4, 1.5, 1],
  ]) {
    expect(() => passAtK(n, c, k)).toThrow(/passAtK: /);
  }
});

/** maj@k by drawing every subset and breaking ties evenly. */
function enumerated(answers: string[], correct: boolean[], k: number): number {
  const right = new Map<string, boolean>();
  for (const [i, a] of answers.entries()) if (!right.has(a)) right.set(a, correct[i]);
  let sum = 0;
  let count = 0;
  for (const subset of subsets(answers.length, k)) {
    const votes = new Map<string, number>();
    for (const i of subset) votes.set(answers[i], (votes.get(answers[i]) ?? 0) + 1);
    const top = Math.max(...votes.values());
    const winners = [...votes].filter(([, v]) => v === top).map(([a]) => a);
    sum += winners.filter((a) => right.get(a)).length / winners.length;
    count++;
  }
  return sum / count;
}

test("maj@k is the expectation over all subsets with even tie-breaks", () => {
  const cases = fc.array(fc.constantFrom("a", "b", "c", "d", "e"), { minLength: 1, maxLength: 9 }).chain((answers) =>
    fc.record({
      answers: fc.constant(answers),
      right: fc.subarray(["a", "b", "c", "d", "e"]),
      k: fc.integer({ min: 1, max: answers.length }),
    }),
  );
  fc.assert(
    fc.property(cases, ({ answers, right, k }) => {
      const correct = answers.map((a) => right.includes(a));
      expect(majAtK(answers, correct, k)).toBeCloseTo(enumerated(answers, correct, k), 10);
    }),
    { numRuns: 300 },
  );
});

test("maj@1 is pass@1, and large counts stay finite", () => {
  const answers = Array.from({ length: 400 }, (_, i) => (i % 3 ? "x" : `y${i}`));
  const correct = answers.map((a) => a === "x");
  expect(majAtK(answers, correct, 1)).toBeCloseTo(passAtK(400, correct.filter(Boolean).length, 1), 10);
  expect(majAtK(answers, correct, 64)).toBeCloseTo(1, 6);
  expect(() => majAtK(new Array(501).fill("a"), new Array(501).fill(true), 2)).toThrow(/at most 500/);
});

describe("summary", () => {
  const outcomes = [
    {
      correct: [true, false, false, true],
      rewards: [1, 0, 0, 1],
      answers: ["a", "b", "b", "a"],
      lengths: [1, 2, 3, 4],
    },
    {
      correct: [false, false, false, false],
      rewards: [0, 0, 0, 0],
      answers: ["a", "b", "c", "d"],
      lengths: [4, 4, 4, 4],
    },
  ];

  test("has pass@k, maj@k, reward and intervals over prompts", () => {
    const result = summarize(outcomes);
    expect(result["pass@1"]).toBeCloseTo(0.25, 12);
    expect(result["pass@4"]).toBe(0.5);
    expect(result["maj@4"]).toBeCloseTo(0.25, 12);
    expect(result.reward).toBe(0.25);
    expect(result["completions/mean_length"]).toBe(3.25);
    const half = (1.96 * standardDeviation([0.5, 0])) / Math.sqrt(2);
    expect(result["pass@1/interval"]).toEqual([0, 0.25 + half]);
    expect(result["pass@8"]).toBeUndefined();
  });

  test("refuses nothing, and prompts with different numbers of samples", () => {
    expect(() => summarize([])).toThrow(/at least one prompt/);
    expect(() => summarize([outcomes[0], { correct: [true], rewards: [1] }])).toThrow(
      /prompt 1 has 1 samples, prompt 0 has 4/,
    );
  });

  test("default ks", () => {
    expect(defaultKs(1)).toEqual([1]);
    expect(defaultKs(8)).toEqual([1, 8]);
    expect(defaultKs(16)).toEqual([1, 8, 16]);
  });
});

test("the interval of a mean", () => {
  expect(meanInterval([])).toBeNull();
  expect(meanInterval([2])).toEqual({ mean: 2, low: 2, high: 2 });
  const { low, high } = meanInterval([0, 1, 0, 1])!;
  expect(high - low).toBeCloseTo((2 * 1.96 * Math.sqrt(1 / 3)) / 2, 12);
  expect(standardDeviation([1e9 + 1, 1e9 + 2, 1e9 + 3])).toBe(1);
});
