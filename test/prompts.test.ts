import { expect, test } from "vitest";
import { CohortError } from "../core/errors.ts";
import { fileTask, parsePrompts, splitRows } from "../core/prompts.ts";

test("rows keep their columns; chat prompts and a byte order mark are allowed", () => {
  const rows = parsePrompts('\uFEFF{"prompt":"a","answer":3}\n\n{"prompt":[{"role":"user","content":"b"}]}\r\n');
  expect(rows).toEqual([{ prompt: "a", answer: 3 }, { prompt: [{ role: "user", content: "b" }] }]);
});

test.each([
  ["", /^p\.jsonl: no prompts in it — /],
  ["\n \n", /no prompts/],
  ['{"prompt":"a"}\n{"prompt":', /^p\.jsonl, line 2: not JSON: \{"prompt":/],
  ["[1]", /line 1: \[1\] is not an object/],
  ['{"question":"a","x":1}', /line 1: no "prompt" among the columns \(question, x\)/],
  ['{"prompt":""}', /"prompt" is ""/],
  ['{"prompt":[]}', /"prompt" is \[\]/],
  ['{"prompt":[{"role":"user"}]}', /give a text, or messages/],
])("refuses %j", (text, message) => {
  expect(() => parsePrompts(text, "p.jsonl")).toThrow(CohortError);
  expect(() => parsePrompts(text, "p.jsonl")).toThrow(message);
});

const rows = Array.from({ length: 100 }, (_, i) => ({ prompt: `p${i}` }));

test("an eighth is set apart, and nothing is lost", () => {
  const { train, heldout, overlap } = splitRows(rows);
  expect(overlap).toBe(false);
  expect(new Set([...train, ...heldout]).size).toBe(100);
  expect(train.length + heldout.length).toBe(100);
  expect(splitRows([{ prompt: "one" }])).toMatchObject({ overlap: true, train: [{ prompt: "one" }] });
});

test("training goes through the file once a pass, in another order each; row k is a function of the seed and k", () => {
  const source = fileTask({ name: "f", train: rows, heldout: rows.slice(0, 5), rewards: [], passAt: 2 });
  const first = source.prompts("train", 100, 1).map((r) => r.prompt);
  const second = source.prompts("train", 100, 1, 100).map((r) => r.prompt);
  expect(new Set(first).size).toBe(100);
  expect(new Set(second).size).toBe(100);
  expect(first).not.toEqual(second);
  expect(source.prompts("train", 10, 1, 95)).toEqual(
    [...source.prompts("train", 100, 1), ...source.prompts("train", 100, 1, 100)].slice(95, 105),
  );
  expect(source.prompts("heldout", 50, 1)).toHaveLength(5);
  expect(source.isRight({}, 2)).toBe(true);
  expect(source.isRight({}, 1.9)).toBe(false);
});
