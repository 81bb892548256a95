/** Ready-made rewards refuse what they cannot be made of, when they are made and with the remedy. */
import { describe, expect, test } from "vitest";
import { CohortError } from "../core/errors.ts";
import { dryRun, type RewardFunction } from "../core/rewards/index.ts";
import * as ready from "../hosts/rewards/index.ts";

type Make = (...given: unknown[]) => RewardFunction;
const make = ready as unknown as Record<string, Make>;
const judged = { baseUrl: "http://127.0.0.1:1/v1", model: "m", rubric: "" };
const one: RewardFunction = () => 1;

function refusal(name: string, ...given: unknown[]): CohortError {
  try {
    make[name](...given);
  } catch (error) {
    expect(error).toBeInstanceOf(CohortError);
    expect((error as CohortError).code).toBe("bad-reward");
    return error as CohortError;
  }
  throw new Error(`${name} took ${JSON.stringify(given)}`);
}

/** Every reward, with what it must be given before its options or in them. */
const all: [string, unknown[], object][] = [
  ["mathAnswer", [], {}],
  ["exactAnswer", [], {}],
  ["choiceAnswer", [], {}],
  ["setAnswer", [], {}],
  ["jsonFormat", [], {}],
  ["codeTests", [], {}],
  ["regexFormat", [/x/], {}],
  ["gated", [one, one], {}],
  ["lengthLimit", [], { max: 2, buffer: 1 }],
  ["lengthTarget", [], { tokens: 2, width: 1 }],
  ["judge", [], judged],
];

describe.each(all)("%s", (name, before, options) => {
  test("is made of its options, and of nothing else", () => {
    expect(make[name](...before, options)).toBeTypeOf("function");
    expect(refusal(name, ...before, { ...options, wrong_name: 1 }).message).toMatch(
      new RegExp(`^${name}: "wrong_name" is no option — (did you mean .*)?There are \\w+`),
    );
    for (const other of ["x", 7, null, []]) {
      expect(refusal(name, ...before, other).message).toMatch(
        new RegExp(`^${name}: the options are .* — give an object: ${name}\\(\\{ \\w+: …`),
      );
    }
    const sample = { prompt: "p", completion: "", completionIds: [], row: { prompt: "p" } };
    expect(refusal(name, ...before, sample).message).toMatch(/got a sample, but it makes a reward .* — call it/);
  });
});

test("every ready-made reward is tried above", () => {
  const helpers = ["finalAnswer", "sameAnswer"];
  const made = Object.keys(ready).filter((name) => !helpers.includes(name));
  expect(made.sort()).toEqual(all.map(([name]) => name).sort());
});

test.each<[string, unknown[], RegExp | string]>([
  [
    "mathAnswer",
    [{ anwser: "x" }],
    'mathAnswer: "anwser" is no option — did you mean "answer"? There are answer, symbolic',
  ],
  ["mathAnswer", [{ answer: 3 }], 'mathAnswer: answer is 3 — give the name of a column, like "answer"'],
  ["mathAnswer", [{ symbolic: "yes" }], 'symbolic is "yes" — give true or false'],
  ["exactAnswer", [{ extract: "x" }], /extract is "x" — give a function of the completion that returns the text/],
  ["choiceAnswer", [{ choices: "ABC" }], 'choices is "ABC" — give a list of two or more texts'],
  ["choiceAnswer", [{ choices: ["a", 1n] }], 'choices is ["a","1n"] — give a list'],
  ["regexFormat", [], /^regexFormat: the pattern is not given — give a regular expression: regexFormat\(\//],
  ["regexFormat", [null], "the pattern is null — give a regular expression"],
  ["regexFormat", ["a", { most: "9" }], 'most is "9" — give a number of characters above 0'],
  ["gated", [one], "gated: the second reward is not given — give a function of the sample"],
  ["gated", [one, one, { otherwise: "0" }], 'otherwise is "0" — give a number, or null'],
  ["lengthLimit", [], "lengthLimit: there are no options — give an object: lengthLimit({ max: …, buffer: … })"],
  ["lengthLimit", [{ max: 9 }], "lengthLimit: buffer is not given — give a number of tokens above 0"],
  ["lengthTarget", [{ tokens: Number.NaN, width: 1 }], "lengthTarget: tokens is NaN — give"],
  ["codeTests", [{ score: "every" }], 'score is "every" — give "share" or "all"'],
  ["codeTests", [{ seconds: 0 }], "codeTests: seconds is 0 — give a number above 0"],
  ["jsonFormat", [{ parses: 2n }], "parses is 2n — give a number"],
  ["judge", [{ model: "m", rubric: "" }], 'judge: baseUrl is not given — give "https://…/v1"'],
  ["judge", [{ ...judged, model: "" }], 'judge: model is "" — give a text'],
  ["judge", [{ ...judged, rubric: undefined }], "judge: rubric is not given — give a text"],
  ["judge", [{ ...judged, range: [3, 3] }], "judge: range is [3,3] — give [lowest, highest]"],
  ["judge", [{ ...judged, retries: 1.5 }], "judge: retries is 1.5 — give a whole number from 0"],
])("%s, mistake %#", (name, given, message) => {
  expect(refusal(name, ...given).message).toMatch(message);
});

test("a key is not shown", () => {
  expect(refusal("judge", { ...judged, apiKey: { value: "hush" } }).message).toMatch(/^judge: apiKey is no such thing/);
  expect(refusal("judge", { ...judged, apiKey: { value: "hush" } }).message).not.toContain("hush");
});

describe("a JSON schema that cannot be one is refused when the reward is made", () => {
  const cyclic: Record<string, unknown> = { type: "object" };
  cyclic.properties = { self: cyclic };

  test.each<[unknown, string]>([
    [{ type: "objekt" }, 'schema.type is "objekt" — did you mean "object"? There are string, number'],
    [{ type: [] }, "schema.type is [] — There are"],
    [{ type: ["string", "nil"] }, 'schema.type is ["string","nil"] — '],
    [{ type: null }, "schema.type is null — "],
    [[], "schema is [] — give a JSON schema"],
    [{ properties: { age: { type: "int" } } }, 'schema.properties.age.type is "int" — did you mean "integer"? '],
    [{ properties: { age: "integer" } }, 'schema.properties.age is "integer" — give a JSON schema'],
    [{ properties: [] }, "schema.properties is [] — give an object of schemas by name"],
    [{ items: { items: { type: "text" } } }, 'schema.items.items.type is "text" — '],
    [{ items: [true, { type: "strin" }] }, 'schema.items[1].type is "strin" — did you mean "string"?'],
    [{ anyOf: [{}, 3] }, "schema.anyOf[1] is 3 — give a JSON schema"],
    [{ allOf: {} }, "schema.allOf is {} — give a list of schemas"],
    [{ $defs: { a: { not: { type: "nul" } } } }, 'schema.$defs.a.not.type is "nul" — '],
    [{ additionalProperties: "no" }, 'schema.additionalProperties is "no" — '],
    [{ required: "name" }, 'schema.required is "name" — give a list of names'],
    [{ enum: "a" }, 'schema.enum is "a" — give a list of values'],
    [{ minimum: "0" }, 'schema.minimum is "0" — give a number'],
    [{ pattern: "(" }, 'a pattern in schema is "(" — correct it: '],
    [{ patternProperties: { "[": true } }, 'a pattern in schema is "[" — correct it: '],
  ])("%j", (schema, message) => {
    expect(refusal("jsonFormat", { schema }).message).toContain(`jsonFormat: ${message}`);
  });

  test.each<[unknown]>([
    [true],
    [{}],
    [{ type: ["string", "null"], title: "t", "x-own": { type: "objekt" }, default: { type: "objekt" } }],
    [{ properties: { type: { type: "string" }, items: { enum: [1] } }, const: { type: "objekt" } }],
    [{ $defs: { node: { properties: { next: { $ref: "#/$defs/node" } } } }, $ref: "#/$defs/node" }],
  ])("%j is one", (schema) => {
    expect(make.jsonFormat({ schema })).toBeTypeOf("function");
  });

  test("a row's schema is named as the row's; one that holds itself is refused, not followed for ever", async () => {
    const sample = (schema: unknown) => ({
      prompt: "p",
      completion: "1",
      completionIds: [],
      row: { prompt: "p", schema },
    });
    expect(() => ready.jsonFormat({ schema: "schema" })(sample({ type: "objekt" }))).toThrow(
      `jsonFormat: the row's schema.type is "objekt" — did you mean "object"?`,
    );
    expect(() => make.jsonFormat({ schema: cyclic })).toThrow(/^jsonFormat: schema: /);
  });
});

test("in a run: which reward, then the ready-made one's own sentence and remedy", async () => {
  const of = (row: object) => [
    { prompt: "Write f", completion: "", completionIds: [], row: row as { prompt: string } },
  ];
  const trial = (fn: RewardFunction, row: object) => dryRun([{ name: "mine", fn, weight: 1 }], of(row)).catch((e) => e);
  const where = 'reward "mine", in the trial before training, on an empty completion to the prompt "Write f": ';
  expect((await trial(ready.codeTests(), { prompt: "Write f" })).message).toBe(
    `${where}codeTests: the row has no column "tests" (it has prompt) — add it to the prompts, or name another one: codeTests({ tests: "…" })`,
  );
  expect((await trial(ready.exactAnswer(), {})).message).toContain('no column "answer" (it has none) — add it to the');
  expect((await trial(ready.mathAnswer(), { answer: 1n })).message).toContain(
    'mathAnswer: column "answer" holds 1n — give a text or a number in the prompts',
  );
  const forgotten = ready.mathAnswer as unknown as RewardFunction;
  expect((await trial(forgotten, {})).message).toBe(
    `${where}mathAnswer: got a sample, but it makes a reward and is none itself — call it where the reward is named: mathAnswer()`,
  );
});
