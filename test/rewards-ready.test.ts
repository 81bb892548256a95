/** Ready-made rewards: what they say of right, wrong and hostile completions. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { RewardFunction, Sample } from "../core/rewards/index.ts";
import {
  choiceAnswer,
  exactAnswer,
  finalAnswer,
  gated,
  jsonFormat,
  lengthLimit,
  lengthTarget,
  mathAnswer,
  regexFormat,
  sameAnswer,
  setAnswer,
} from "../hosts/rewards/index.ts";

function sample(completion: string, columns: Record<string, unknown> = {}, tokens = completion.length): Sample {
  return { prompt: "p", completion, completionIds: new Array(tokens).fill(0), row: { prompt: "p", ...columns } };
}
const scoreOf = async (reward: RewardFunction, completion: string, columns: Record<string, unknown> = {}) =>
  reward(sample(completion, columns));

describe("mathematics", () => {
  test.each([
    ["1/2", "0.5", true],
    ["\\dfrac{1}{2}", "0.50", true],
    ["\\frac12", "1/2", true],
    ["1,234", "1234", true],
    ["50\\%", "1/2", true],
    ["50%", "50", true],
    ["1 1/2", "3/2", true],
    ["1\\frac{1}{2}", "1.5", true],
    ["2^{10}", "1024", true],
    ["-\\frac{3}{4}", "-0.75", true],
    ["3\\cdot 10^{2}", "300", true],
    ["$12.00", "12", true],
    ["12 \\text{ cm}", "12", true],
    ["\\sqrt{\\frac{16}{9}}", "4/3", true],
    ["x = 5", "5", true],
    ["2(3+4)", "14", true],
    ["0.1+0.2", "0.3", true],
    ["\\text{Monday}", "monday", true],
    ["(1, 2)", "(1,2.0)", true],
    ["\\{1,2\\}", "2, 1", true],
    ["[0,1)", "[0, 1)", true],
    ["1/3", "0.3333", false],
    ["(1,2)", "(2,1)", false],
    ["(1,2)", "[1,2]", false],
    ["1, 1", "1", false],
    ["", "0", false],
    ["1/0", "1/0 + 1", false],
    ["5 6", "30", false],
    ["9^{9^{9^9}}", "1", false],
    ["process.exit()", "1", false],
    ["constructor", "1", false],
  ])("%s and %s: %s", (a, b, same) => {
    expect(sameAnswer(a, b)).toBe(same);
    expect(sameAnswer(b, a)).toBe(same);
  });

  test("forms of one rational are equal, of two are not", () => {
    const form = fc.tuple(fc.integer({ min: -9999, max: 9999 }), fc.integer({ min: 1, max: 999 }), fc.nat(5));
    const write = ([p, q, kind]: [number, number, number]) =>
      [`${p}/${q}`, `\\frac{${p}}{${q}}`, `${3 * p}/${3 * q}`, `(${p})/(${q})`, `${p}*1/${q}`, `${p} \\div ${q}`][kind];
    fc.assert(
      fc.property(form, form, ([p, q, k], [r, s, l]) => {
        expect(sameAnswer(write([p, q, k]), write([p, q, l]))).toBe(true);
        expect(sameAnswer(write([p, q, k]), write([r, s, l]))).toBe(p * s === r * q);
      }),
    );
  });

  test.each([
    ["\\frac{\\sqrt{8}}{2}", "\\sqrt 2", true],
    ["(x+1)^2", "x^2+2x+1", true],
    ["\\sin^2 x + \\cos^2 x", "1", true],
    ["2\\pi r", "\\tau r", false],
    ["\\frac{x^2-1}{x-1}", "x+1", true],
    ["\\sqrt{x^2}", "x", false],
    ["\\log_2 8", "3", true],
    ["e^{i\\pi}", "-1", true],
    ["ab", "ba", true],
    ["xy", "x+y", false],
    ["9^{9^{9^9}}", "10^{10^{10^10}}", false],
  ])("symbolic: %s and %s: %s", async (given, answer, same) => {
    expect(await scoreOf(mathAnswer({ symbolic: true }), `so \\boxed{${given}}`, { answer })).toBe(Number(same));
  });

  test("the answer is found where models say it", async () => {
    expect(finalAnswer("\\boxed{1} or \\boxed{\\frac{1}{2}}")).toBe("\\frac{1}{2}");
    expect(finalAnswer("2 + 2\n#### 4\n")).toBe("4");
    expect(finalAnswer("<think>5</think><answer> 4 </answer>")).toBe("4");
    expect(finalAnswer("The answer is: **7**")).toBe("7");
    expect(finalAnswer("first\n\nx = 3\n")).toBe("x = 3");
    expect(finalAnswer("\\boxed{never closed")).toBe("\\boxed{never closed");
    const gsm8k = { answer: "2 eggs and 2 eggs are 4\n#### 1,004" };
    expect(await scoreOf(mathAnswer(), "I think 1004\nThe answer is 1004.", gsm8k)).toBe(1);
    await expect(scoreOf(mathAnswer(), "1", { solution: 1 })).rejects.toThrow(
      /no column "answer" \(it has prompt, solution\) — /,
    );
  });
});

test("words: exact, one of a list, choices, sets", async () => {
  expect(await scoreOf(exactAnswer(), "  New\nYork ", { answer: "new york" })).toBe(1);
  expect(await scoreOf(exactAnswer({ strict: true }), "New york", { answer: "New York" })).toBe(0);
  expect(await scoreOf(exactAnswer(), "NYC", { answer: ["New York", "NYC"] })).toBe(1);
  expect(await scoreOf(choiceAnswer(), "a long thought\nThe answer is (B).", { answer: "B" })).toBe(1);
  expect(await scoreOf(choiceAnswer(), "The answer is A or B", { answer: "B" })).toBe(0);
  const yesNo = choiceAnswer({ choices: ["yes", "no"] });
  expect(await scoreOf(yesNo, "Yes!", { answer: "yes" })).toBe(1);
  expect(await scoreOf(yesNo, "nothing", { answer: "no" })).toBe(0);
  await expect(scoreOf(yesNo, "yes", { answer: "maybe" })).rejects.toThrow(/none of yes, no — give its choices/);
  expect(await scoreOf(setAnswer(), "- red\n- Green\n", { answer: "green, red" })).toBe(1);
  expect(await scoreOf(setAnswer(), "red, blue", { answer: ["red", "green"] })).toBe(0.5);
  expect(await scoreOf(setAnswer(), "", { answer: "red" })).toBe(0);
});

describe("form", () => {
  const schema = {
    type: "object",
    required: ["name", "age"],
    properties: { name: { type: "string" }, age: { type: "integer", minimum: 0 } },
    additionalProperties: false,
  };
  test.each([
    ['{"name": "Ada", "age": 36}', 1],
    ['Here:\n```json\n{"name": "Ada", "age": 36}\n```\n', 1],
    ['{"name": "Ada", "age": -1}', 0.2],
    ['{"name": "Ada"}', 0.2],
    ["{name: 1}", 0],
    ["", 0],
    ['{"name": "a", "age": 1, "__proto__": {"admin": true}}', 0.2],
    [`${"[".repeat(90_000)}`, 0],
    [`${'{"a":'.repeat(9000)}1${"}".repeat(9000)}`, 0],
    [`"${"x".repeat(10_000_000)}"`, 0],
  ])("JSON %.40s: %s", async (completion, score) => {
    expect(await scoreOf(jsonFormat({ schema }), completion)).toBe(score);
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
  });

  test("inherited names are no properties; a column may hold the schema; a schema that is none", async () => {
    const required = jsonFormat({ schema: { required: ["toString", "constructor"] }, parses: 0 });
    expect(await scoreOf(required, "{}")).toBe(0);
    expect(await scoreOf(required, '{"toString": 1, "constructor": 2}')).toBe(1);
    expect(await scoreOf(jsonFormat({ schema: "schema" }), "3", { schema: { type: "number" } })).toBe(1);
    expect(await scoreOf(jsonFormat({ schema: "schema" }), "3", { schema: { type: "string" } })).toBe(0.2);
    await expect(scoreOf(jsonFormat({ schema: "schema" }), "3", { schema: 7 })).rejects.toThrow(/schema is 7 — give/);
  });

  test("regular expressions: the whole completion, or a part; state does not leak from call to call", async () => {
    const think = regexFormat(/<think>.*<\/think>\s*<answer>.*<\/answer>/gs);
    for (let k = 0; k < 3; k++) expect(await scoreOf(think, "<think>a\nb</think>\n<answer>4</answer>")).toBe(1);
    expect(await scoreOf(think, "x<think></think><answer></answer>")).toBe(0);
    expect(await scoreOf(regexFormat("a|b"), "ab")).toBe(0);
    expect(await scoreOf(regexFormat("b", { part: true }), "abc")).toBe(1);
    expect(await scoreOf(regexFormat("x*"), "x".repeat(10_000_000))).toBe(0);
    expect(() => regexFormat("(")).toThrow(/regexFormat: .* — correct the expression/);
  });
});

test("length: the soft limit of DAPO, a target, a gate", async () => {
  const limit = lengthLimit({ max: 10, buffer: 4 });
  const at = (reward: RewardFunction, tokens: number) => reward(sample("", {}, tokens));
  expect([5, 6, 8, 10, 99].map((n) => at(limit, n) as number)).toEqual([-0, -0, -0.5, -1, -1]);
  const target = lengthTarget({ tokens: 10, width: 5 });
  expect([0, 5, 8, 10, 15].map((n) => at(target, n))).toEqual([0, 0, 0.6, 1, 0]);
  expect(() => lengthLimit({ max: 0, buffer: 1 })).toThrow(/max is 0/);
  const form = gated(regexFormat("<.*>"), exactAnswer({ extract: (t) => t.slice(1, -1) }), { otherwise: -1 });
  expect(await scoreOf(form, "<4>", { answer: "4" })).toBe(1);
  expect(await scoreOf(form, "<5>", { answer: "4" })).toBe(0);
  expect(await scoreOf(form, "4", { answer: "4" })).toBe(-1);
});

test("10 MB of anything is a wrong answer, at once", async () => {
  const huge = "\\boxed{".repeat(1_500_000);
  const rewards = [mathAnswer(), exactAnswer(), choiceAnswer(), setAnswer(), jsonFormat(), regexFormat(".*")];
  for (const reward of rewards) expect(await scoreOf(reward, huge, { answer: "B" })).toBe(0);
});
