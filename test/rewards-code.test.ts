/** Code run against tests in the sandbox: what counts, and what hostile programs get. Nothing of them reaches the process. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { runRewards } from "../core/rewards/index.ts";
import { type CodeOptions, codeTests } from "../hosts/rewards/index.ts";
import * as sandbox from "../hosts/rewards/sandbox.ts";

vi.mock("../hosts/rewards/sandbox.ts", { spy: true });

const tests = ["add(1, 2) === 3", { call: "add([1], [2])", equals: "12" }, "add(0.5, 0.25) === 0.75"];
async function score(program: string, options: CodeOptions = {}, own: unknown = tests): Promise<number | null> {
  const row = { prompt: "p", tests: own };
  return codeTests(options)({ prompt: "p", completion: program, completionIds: [], row });
}

test("the share of tests passed, or all of them; fenced or bare", async () => {
  const right = "function add(a, b) { return a + b; }";
  expect(await score(right)).toBe(1);
  expect(await score(`Here it is:\n\`\`\`js\n${right}\n\`\`\`\nand so on`)).toBe(1);
  expect(await score("const add = (a, b) => Number(a) + Number(b);")).toBeCloseTo(2 / 3);
  expect(await score("const add = (a, b) => Number(a) + Number(b);", { score: "all" })).toBe(0);
  expect(await score("function add(a, b) { return a +; }")).toBe(0);
  expect(await score("")).toBe(0);
  const async = 'async function later() { await null; return { a: [1, undefined], "b": NaN }; }';
  expect(await score(async, {}, [{ call: "later()", equals: { b: null, a: [1, null] } }])).toBe(1);
});

test("what a test needs: a list of expressions or calls", async () => {
  await expect(score("1", {}, [])).rejects.toThrow(/codeTests: column "tests" is \[\] — give a list/);
  await expect(score("1", {}, [{ call: "f()" }])).rejects.toThrow(/give a list/);
  await expect(score("1", { tests: "checks" })).rejects.toThrow(/no column "checks" .*codeTests\(\{ tests: "…" \}\)/);
});

describe("a test that does not parse is the row's fault", () => {
  test.each([
    [
      "f(1 ==",
      /^codeTests: test 2 of column "tests", "f\(1 ==", does not parse: SyntaxError: .+ — correct it in the prompts/,
    ],
    [{ call: "f(1))", equals: 1 }, /test 2 of column "tests", "f\(1\)\)", does not parse: SyntaxError/],
    ["", null],
    ["const same = f(1); same === 1", null],
    ["throw new SyntaxError('not of the text')", null],
    ["absent.x", null],
    ["async () => await f(1)", null],
  ])("%j", async (test, refused) => {
    const list = ["const same = 1; f(same) === 1", test, 'let left; "a}b" === "a}b"'];
    const scored = score("const f = (x) => x", {}, list);
    if (refused) await expect(scored).rejects.toThrow(refused);
    else expect(await scored).toBeGreaterThan(0);
  });

  test("nothing of a test runs before the program; a text is asked about once", async () => {
    const fn = codeTests();
    const row = { prompt: "p", tests: ["n === 1", "++n === 2"] };
    const one = (completion: string, own = row) => fn({ prompt: "p", completion, completionIds: [], row: own });
    const run = vi.mocked(sandbox.runInSandbox).mockClear();
    const scores = await Promise.all([one("let n = 1"), one("let n = 1"), one("")]);
    expect(scores).toEqual([1, 1, 0]);
    expect(run.mock.calls.filter(([{ program }]) => program.startsWith("throw 0;")).length).toBe(2);
    // Even where no completion is read.
    await expect(one("x".repeat(200_000), { prompt: "p", tests: ["(", "n"] })).rejects.toThrow(
      /test 1 .* does not parse/,
    );
  });
});

describe("hostile programs get 0, and the next one its due", () => {
  let server: Server;
  let heard = 0;
  beforeAll(async () => {
    server = createServer((_, response) => {
      heard++;
      response.end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });
  afterAll(() => server.close());

  const cases: [string, string][] = [
    ["an endless loop", "while (true);"],
    ["an endless loop in a test", "const add = () => { for (;;); }"],
    ["endless recursion", "function f() { return f() + 1; } f();"],
    ["a regular expression without end", "/(a+)+$/.test('a'.repeat(60) + 'b')"],
    ["a string bomb", "let s = 'x'; for (;;) s += s;"],
    ["an array bomb", "const a = []; for (;;) a.push(new Float64Array(1 << 14));"],
    ["a large result", "const add = () => 'x'.repeat(5e6)"],
    ["a throw whose text never ends", "throw { get message() { for (;;); }, get name() { for (;;); } }"],
    ["a promise without end", "Promise.resolve().then(function f() { return Promise.resolve().then(f); })"],
    ["a test's true forged", "const add = () => ({ valueOf: () => 3, toJSON: () => true })"],
    ["a cut result", "JSON.stringify = () => '3'; const add = () => 4"],
    ["globals taken away", "for (const k of Reflect.ownKeys(globalThis)) delete globalThis[k]; const add = 1"],
  ];
  test.each(cases)("%s", async (_, program) => {
    expect(await score(program, { work: 20, memory: 4 })).toBe(0);
    expect(await score("const add = (a, b) => a + b")).toBe(1);
  });

  test("the heap ends where it is said to, whatever it is filled with", async () => {
    const fill = (what: string) => `let n = 0; try { const a = []; for (;;) { a.push(${what}); n++; } } catch {}`;
    // 16 MB of the interpreter's and 4 more, in pieces of 128 KB.
    expect(await score(fill("new ArrayBuffer(2 ** 17)"), { memory: 4 }, ["n > 20", "n < 160"])).toBe(1);
    expect(await score(fill("new ArrayBuffer(2 ** 17)"), { memory: 16 }, ["n > 160", "n < 256"])).toBe(1);
  });

  test("a library function over a huge range, which is not counted: the worker is ended", async () => {
    const program = "const add = () => Array.prototype.lastIndexOf.call({ length: 2 ** 53 - 1 }, 1)";
    expect(await score(program, { seconds: 0.3 })).toBe(0);
    expect(await score("const add = (a, b) => a + b")).toBe(1);
  });

  test("no way out: no network, files, modules, process, timers; prototypes stay the process's own", async () => {
    const names =
      "fetch XMLHttpRequest WebSocket Worker importScripts require process Deno Bun navigator setTimeout postMessage self std os";
    const absent = names.split(" ").map((name) => `typeof ${name} === "undefined"`);
    expect(await score("1", {}, absent)).toBe(1);
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    for (const tried of [
      `fetch("${address}")`,
      `import("${address}")`,
      'import("node:fs")',
      'import fs from "node:fs"',
    ]) {
      expect(await score(`${tried}; const add = (a, b) => a + b`)).toBeLessThan(1.1);
    }
    expect(heard).toBe(0);
    const pollute = `Object.prototype.polluted = 1; Array.prototype.push = () => 0; ({}).constructor.prototype.more = 1;
      const add = () => JSON.parse('{"__proto__": {"polluted": 1}}')`;
    expect(await score(pollute, {}, ["true", { call: "add()", equals: { a: 1 } }])).toBe(0.5);
    expect("polluted" in {} || "more" in {}).toBe(false);
    // Nor does one program see another.
    expect(await score("1", {}, ['!("polluted" in {})', "typeof add === 'undefined'"])).toBe(1);
  });

  test("clock and random numbers are the same each time", async () => {
    const own = [
      { call: "[Math.random() < 1, Date.now(), +new Date(), new Date(5).getTime()]", equals: [true, 0, 0, 5] },
    ];
    expect(await score("1", {}, own)).toBe(1);
    const share = async () => score("const x = Math.random()", {}, ["x < 0.25", "x < 0.5", "x < 0.75", "x < 1"]);
    expect(await share()).toBe(await share());
  });

  test("a batch with hostile samples among others: each gets its own score, in its place", async () => {
    const programs = ["const add = (a, b) => a + b", "for (;;);", "const add = () => 3", "throw 1"];
    const samples = Array.from({ length: 12 }, (_, i) => ({
      prompt: "p",
      completion: programs[i % 4],
      completionIds: [],
      row: { prompt: "p", tests },
    }));
    const { total } = await runRewards([{ name: "code", fn: codeTests({ work: 50 }), weight: 1 }], samples);
    expect([...total].map((x) => Math.round(3 * x))).toEqual([3, 0, 1, 0, 3, 0, 1, 0, 3, 0, 1, 0]);
  });
});
