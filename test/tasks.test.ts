import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CohortError } from "../core/errors.ts";
import { evaluateArithmetic } from "../core/rewards/arithmetic.ts";
import type { Row, Sample } from "../core/rewards/reward.ts";
import { solve } from "../core/tasks/countdown.ts";
import { loadTask, taskNames } from "../core/tasks/index.ts";

const sampleOf = (row: Row, completion: string): Sample => ({ prompt: row.prompt, completion, completionIds: [], row });
const variants = [
  ...taskNames.map((name) => ({ name })),
  { name: "sort", length: 3, values: 4 },
  { name: "reverse", length: 6, letters: 26 },
  { name: "addition", digits: 3, reversed: 1 },
  { name: "countdown", numbers: 4, max: 20 },
  { name: "countdown", division: 1, shaping: 0.1 },
];

describe.each(variants.map((v) => [JSON.stringify(v), v] as const))("%s", (_, config) => {
  const task = loadTask(config);
  const rows = [...task.prompts("train", 60, 3), ...task.prompts("heldout", 30, 4)];

  test("the supervised completion earns exactly 1, spoilt ones 0", () => {
    for (const row of rows) {
      const right = task.supervised(row);
      expect(task.reward(sampleOf(row, right))).toBe(1);
      for (const wrong of [`${right}0`, right.slice(1), "", `${right}>`, "((", "0".repeat(500)]) {
        expect(task.reward(sampleOf(row, wrong))).toBe(0);
      }
    }
  });

  test("prompts and completions stay in the alphabet and in the stated lengths", () => {
    expect(new Set(task.alphabet).size).toBe(task.alphabet.length);
    expect(task.alphabet).toContain(task.stopCharacter);
    for (const row of rows) {
      const prompt = String(row.prompt);
      const completion = task.supervised(row) + task.stopCharacter;
      for (const character of prompt + completion) expect(task.alphabet).toContain(character);
      expect(prompt.length).toBeLessThanOrEqual(task.maxPromptTokens);
      expect(completion.length).toBeLessThanOrEqual(task.maxCompletionTokens);
      expect(completion.indexOf(task.stopCharacter)).toBe(completion.length - 1);
    }
  });

  test("train and held-out never overlap, whatever the seeds", () => {
    fc.assert(
      fc.property(fc.nat(2 ** 31), fc.nat(2 ** 31), fc.nat(1000), (a, b, start) => {
        const train = new Set(task.prompts("train", 40, a, start).map((r) => r.prompt));
        return task.prompts("heldout", 20, b).every((r) => !train.has(r.prompt));
      }),
      { numRuns: 15 },
    );
  });

  test("row k depends on the seed and k alone", () => {
    const all = task.prompts("train", 20, 9);
    expect(task.prompts("train", 5, 9, 7)).toEqual(all.slice(7, 12));
    expect(task.prompts("train", 20, 10)).not.toEqual(all);
  });

  test("held-out rows of one call are distinct", () => {
    const prompts = task.prompts("heldout", 30, 1).map((r) => r.prompt);
    expect(new Set(prompts).size).toBe(prompts.length);
  });
});

test("27+58 and 58+27 are in the same split", () => {
  const task = loadTask("addition");
  const train = new Set(task.prompts("train", 3000, 0).map((r) => `${r.a}+${r.b}`));
  for (const row of task.prompts("heldout", 300, 0)) expect(train.has(`${row.b}+${row.a}`)).toBe(false);
});

test("a task with fewer held-out problems than asked gives those it has; with none it says so", () => {
  const few = loadTask({ name: "sort", length: 2, values: 6 }).prompts("heldout", 50, 0);
  expect(few.length).toBeGreaterThan(0);
  expect(few.length).toBeLessThan(36);
  const none = [...Array(40).keys()].map((splitSeed) => loadTask({ name: "sort", length: 2, values: 2, splitSeed }));
  expect(() => {
    for (const task of none) task.prompts("heldout", 1, 0);
  }).toThrow(/too few problems of this size — make the task larger/);
});

test("shaping adds a second reward beside an untouched first", async () => {
  const task = loadTask({ name: "sort", length: 4, shaping: 0.25 });
  expect(task.rewards.map((r) => [r.name, r.weight])).toEqual([
    ["correct", 1],
    ["places", 0.25],
  ]);
  const [row] = task.prompts("train", 1, 0);
  const half = `${task.supervised(row).slice(0, 2)}xx`;
  expect(await task.rewards[0].fn(sampleOf(row, half))).toBe(0);
  expect(await task.rewards[1].fn(sampleOf(row, half))).toBe(0.5);
});

test.each([
  ["srot", /did you mean "sort"/],
  [{ name: "sort", lenght: 3 }, /"lenght" is not a parameter \(did you mean "length"\?\)/],
  [{ name: "sort", length: 1.5, values: 99 }, /length is 1.5, want a whole number from 2 to 32; values is 99/],
  ["toString", /not a built-in task/],
])("refuses %j", (config, message) => {
  expect(() => loadTask(config)).toThrow(CohortError);
  expect(() => loadTask(config)).toThrow(message);
});

describe("exact arithmetic", () => {
  const value = (text: string) => {
    const found = evaluateArithmetic(text);
    return found && `${found.value.numerator}/${found.value.denominator}`;
  };

  test.each([
    ["1+2*3", "7/1"],
    ["(1+2)*3", "9/1"],
    ["8-3-2", "3/1"],
    ["8/4/2", "1/1"],
    ["1/3+1/3+1/3", "1/1"],
    ["2−3×4", "-10/1"],
    ["2 ÷ 6", "1/3"],
    ["99999999999999999999*3", "299999999999999999997/1"],
    ["0*5", "0/1"],
  ])("%s = %s", (text, want) => expect(value(text)).toBe(want));

  test.each([
    "",
    "1+",
    "-1",
    "1 2",
    "(1",
    "1)",
    "1/0",
    "1/(2-2)",
    "2**3",
    "a",
    "1e3",
    "3.5",
    "(".repeat(399),
    "1".repeat(401),
  ])("%s is no expression", (text) => expect(value(text)).toBeNull());

  test("agrees with doubles on random small expressions", () => {
    const expression = fc.letrec<{ e: string }>((tie) => ({
      e: fc.oneof(
        { maxDepth: 4 },
        fc.nat(20).map(String),
        fc.tuple(tie("e"), fc.constantFrom("+", "-", "*"), tie("e")).map(([a, op, b]) => `(${a}${op}${b})`),
      ),
    })).e;
    fc.assert(
      fc.property(expression, (text) => {
        // Only digits, + - * and parentheses reach this reference evaluation.
        const want = Number(new Function(`return ${text.replace(/\b0+(?=\d)/g, "")}`)());
        return Math.abs(want) >= 2 ** 53 || value(text) === `${want}/1` || (want === 0 && value(text) === "0/1");
      }),
    );
  });

  test("countdown solutions reach their targets, and none is missed", () => {
    for (let target = 1; target <= 60; target++) {
      const text = solve([2, 3, 7], target);
      if (text) expect(value(text)).toBe(`${target}/1`);
    }
    // Every value that 2, 3, 7 reach with + − ×, enumerated by hand of the two shapes (a∘b)∘c and a∘(b∘c).
    const reachable = new Set<number>();
    const apply = (a: number, b: number) => [a + b, a - b, b - a, a * b];
    for (const [a, b, c] of [
      [2, 3, 7],
      [2, 7, 3],
      [3, 7, 2],
    ]) {
      for (const ab of apply(a, b)) for (const v of apply(ab, c)) reachable.add(v);
    }
    for (let target = 1; target <= 60; target++) {
      expect(solve([2, 3, 7], target) !== null, `target ${target}`).toBe(reachable.has(target));
    }
  });
});
