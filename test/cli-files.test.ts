import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseConfig } from "../core/config.ts";
import { CohortError } from "../core/errors.ts";
import { loadRewardFile } from "../hosts/cli/reward-file.ts";
import { taskSource } from "../hosts/cli/task-source.ts";
import { nodeStorage } from "../hosts/storage.ts";

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "cohort-files-"));
});
afterAll(() => rm(dir, { recursive: true }));

const file = async (name: string, text: string) => {
  await writeFile(join(dir, name), text);
  return join(dir, name);
};
const sample = { prompt: "p", completion: "abc", completionIds: [1], row: { prompt: "p" } };

test("the default export carries the file's name, named exports their own, with weights", async () => {
  const path = await file(
    "words.mjs",
    "export default (s) => s.completion.length; export const tidy = async () => 0.5; export function also() { return null }",
  );
  const specs = await loadRewardFile(path, { tidy: 2 });
  expect(specs.map((s) => [s.name, s.weight])).toEqual([
    ["words", 1],
    ["also", 1],
    ["tidy", 2],
  ]);
  expect(await Promise.all(specs.map((s) => s.fn(sample)))).toEqual([3, null, 0.5]);
});

describe("refuses with a remedy", () => {
  test.each([
    ["syntax.mjs", "export default (s => ;", /syntax\.mjs: cannot be loaded: .*Error/],
    [
      "throws.mjs",
      'throw new Error("at load")',
      /throws\.mjs: cannot be loaded: Error: at load — run the file with node/,
    ],
    ["empty.mjs", "const x = 1;", /empty\.mjs: exports nothing — write export default/],
    ["number.mjs", "export default 3", /number\.mjs: export "default" is a number, not a function/],
    ["named.mjs", "export default () => 1; export const limit = 5", /named\.mjs: export "limit" is a number/],
  ])("%s", async (name, text, message) => {
    const failure = await loadRewardFile(await file(name, text)).catch((e) => e);
    expect(failure).toBeInstanceOf(CohortError);
    expect(failure.code).toBe("bad-reward");
    expect(failure.message).toMatch(message);
  });

  test("a missing file, and a weight for nothing", async () => {
    await expect(loadRewardFile(join(dir, "none.mjs"))).rejects.toThrow(
      /none\.mjs: no such reward file — check task\.reward/,
    );
    const path = await file("one.mjs", "export default () => 1");
    await expect(loadRewardFile(path, { two: 1 })).rejects.toThrow(/names "two", which it does not export — name one/);
  });
});

test("a configuration's files become a source of prompts and rewards", async () => {
  await file("r.mjs", "export default (s) => s.row.points");
  const rows = Array.from({ length: 40 }, (_, i) => JSON.stringify({ prompt: `p${i}`, points: i })).join("\n");
  await file("p.jsonl", rows);
  await file("few.jsonl", '{"prompt":"a"}\n');
  const storage = nodeStorage();
  const task = { prompts: "p.jsonl", reward: "r.mjs", passAt: 20 };
  const source = await taskSource(parseConfig({ task }, { base: dir }), storage);
  const train = new Set(source.prompts("train", 200, 0).map((r) => r.prompt));
  const heldout = source.prompts("heldout", 200, 0);
  expect(train.size + heldout.length).toBe(40);
  expect(heldout.some((r) => train.has(r.prompt))).toBe(false);
  expect(await source.rewards[0].fn({ ...sample, row: heldout[0] })).toBe(heldout[0].points);
  expect(source.isRight({}, 20)).toBe(true);

  const notes: string[] = [];
  await taskSource(parseConfig({ task: { ...task, prompts: "few.jsonl" } }, { base: dir }), storage, (t) =>
    notes.push(t),
  );
  expect(notes[0]).toMatch(/few\.jsonl: too few prompts/);
  const own = await taskSource(parseConfig({ task: { ...task, heldout: "few.jsonl" } }, { base: dir }), storage);
  expect(own.prompts("heldout", 9, 0).map((r) => r.prompt)).toEqual(["a"]);
  expect((await taskSource(parseConfig({ task: "reverse" }), storage)).name).toBe("reverse");
});
