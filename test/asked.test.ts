/** What an app asks of an engine: defaults, refusals before any work, a run folder as a model, an engine that is closed. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { SampleOptions, SampleResult, TrainResult } from "../core/api.ts";
import { parseConfig, type TrainConfig } from "../core/config.ts";
import { CohortError } from "../core/errors.ts";
import { memoryStorage } from "../core/storage.ts";
import type { AppTask, HostEngine } from "../hosts/engine.ts";
import { createEngine } from "../hosts/node.ts";

const storage = memoryStorage();
const config = (out: string) =>
  parseConfig({
    model: { config: { hiddenSize: 16, layers: 1, heads: 2, kvHeads: 1, intermediateSize: 16 }, tokenizer: "byte" },
    promptsPerStep: 2,
    rolloutsPerPrompt: 2,
    maxTokens: 3,
    steps: 1,
    evalPrompts: 0,
    out,
  });
const rewards: AppTask["rewards"] = ({ completionIds }) => completionIds.length;
const task = { prompts: ["a", { prompt: "b" }], rewards };

async function drawn(engine: HostEngine, options: Omit<SampleOptions, "model"> & { model?: string }) {
  const results: SampleResult[] = [];
  for await (const result of engine.sample({ model: "run", ...options })) results.push(result);
  return results;
}

let engine: HostEngine;
let trained: TrainResult;
beforeAll(async () => {
  engine = await createEngine({ threads: 1, storage });
  trained = await engine.train(config("run"), { task });
});
afterAll(() => engine.close());

test("prompts may be texts; they are the rows of these", async () => {
  const rows = await engine.train(config("rows"), { task: { prompts: [{ prompt: "a" }, { prompt: "b" }], rewards } });
  expect(rows.digest).toBe(trained.digest);
});

test("a sample needs a model and a prompt; a run folder is its newest checkpoint", async () => {
  expect(trained.checkpoint).toBe("run/checkpoints/step-1");
  const [one, ...more] = await drawn(engine, { prompt: "a" });
  expect(more).toEqual([]);
  expect(one.logprob.length).toBeGreaterThan(0);
  expect(one.logprob.every(Number.isFinite)).toBe(true);
  const all = { n: 1, maxTokens: 128, temperature: 1, topK: 0, topP: 1, minP: 0, seed: 0 };
  expect(await drawn(engine, { prompt: "a", ...all, model: trained.checkpoint })).toEqual([one]);
  expect(await drawn(engine, { prompt: "a", model: "run/" })).toEqual([one]);
  const ids = one.ids.slice(0, 3);
  const scored = await engine.score({ model: "run", ids });
  expect(scored).toEqual(await engine.score({ model: trained.checkpoint, ids, grad: false }));
  await storage.write("young/metrics.jsonl", "");
  await expect(drawn(engine, { prompt: "a", model: "young" })).rejects.toThrow(/young: a run folder without a checkp/);
});

test.each<[string, unknown]>([
  ["n", 0],
  ["n", 1.5],
  ["maxTokens", Number.NaN],
  ["temperature", -1],
  ["temperature", "1"],
  ["topP", 0],
  ["seed", -1],
  ["prompt", undefined],
  ["model", { config: {} }],
  ["precision", 16],
])("sample refuses %s %s, with what may stand there", async (name, value) => {
  const failure = await drawn(engine, { prompt: "a", [name]: value }).catch((e) => e);
  expect(failure).toBeInstanceOf(CohortError);
  expect(failure.code).toBe("bad-input");
  expect(failure.message).toMatch(new RegExp(`^engine\\.sample: ${name} is .* — give `));
});

const { optimizer: _, ...partial } = parseConfig({});
test.each<[string, unknown, unknown, RegExp]>([
  [
    "no parsed config",
    { steps: 1 },
    { task },
    /train: the configuration lacks model, task, recipe and \d+ more keys — hand/,
  ],
  ["half a config", partial, { task }, /lacks optimizer — hand over engine\.train\(parseConfig/],
  ["no config", undefined, undefined, /config is not given/],
  ["reward for rewards", null, { task: { prompts: ["a"], reward: rewards } }, /task app: no rewards — did you mean re/],
  ["rewards by text", null, { task: { prompts: ["a"], rewards: { a: "len" } } }, /reward "a" is "len" — give rewards/],
  ["a prompt of another kind", null, { task: { prompts: ["a", 7], rewards } }, /prompts\[1\] is 7 — give a text, or a/],
  ["prompts that are no list", null, { task: { prompts: "a", rewards } }, /prompts is "a" — give a list/],
  ["no prompts", null, { task: { rewards } }, /no prompts among its keys \(rewards\)/],
  [
    "a misspelt key of a task",
    null,
    { task: { ...task, weight: {} } },
    /weight is not a key of a task — did you mean weights\?/,
  ],
  [
    "a misspelt key of examples",
    null,
    { task: { examples: [{ text: "a" }], fromat: "text" } },
    /did you mean format\?/,
  ],
  [
    "a misspelt hook",
    null,
    { task, onSteps: () => {} },
    /engine\.train: onSteps is not a hook — did you mean onStep\? There/,
  ],
  ["a hook that is no function", null, { task, onStep: "log" }, /onStep is "log" — give a function/],
  [
    "an AbortController for its signal",
    null,
    { task, signal: new AbortController() },
    /signal is .* — give the signal of/,
  ],
  ["a logger without onMetrics", null, { task, logger: { log() {} } }, /logger is .* with the method onMetrics\(/],
  ["hooks that are none", null, 7, /engine\.train: got 7 — give an object/],
  [
    "a key that parseConfig would not take",
    { ...parseConfig({}), learningrate: 1 },
    { task },
    /learningrate is not a key of the configuration — did you mean learningRate\?/,
  ],
  ["examples that are texts", null, { task: { examples: ["a"] } }, /examples holds "a" — give a list of rows/],
])("train refuses %s", async (_, given, hooks, message) => {
  const asked = (given === null ? config("refused") : given) as TrainConfig;
  const failure = await engine.train(asked, hooks as never).catch((e) => e);
  expect(failure).toBeInstanceOf(CohortError);
  expect(failure.message).toMatch(message);
  expect(await storage.exists("refused")).toBe(false);
});

test.each<[string, (engine: HostEngine) => Promise<unknown>, RegExp]>([
  [
    "sample",
    (e) => drawn(e, { prompt: "a", max_tokens: 4 } as never),
    /sample: max_tokens is .* did you mean maxTokens\?/,
  ],
  [
    "score",
    (e) => e.score({ model: "run", ids: "ab", gradient: true } as never),
    /score: gradient is not an option — did/,
  ],
  [
    "evaluate",
    (e) => e.evaluate(config("run"), { checkpiont: "run" } as never),
    /evaluate: .* did you mean checkpoint\?/,
  ],
  [
    "start",
    (e) => e.start(config("refused"), { onstep() {} } as never).result,
    /onstep is not a hook — did you mean onStep/,
  ],
  [
    "createEngine",
    () => createEngine({ thread: 2 } as never),
    /createEngine: thread is .* did you mean threads\? There are/,
  ],
  [
    "createEngine",
    () => createEngine({ backend: "webgpuu" } as never),
    /backend is "webgpuu" — give "auto", "wasm" or/,
  ],
  ["createEngine", () => createEngine({ threads: 0 }), /threads is 0 — give a whole number from 1 to 256, or "auto"/],
  ["createEngine", () => createEngine({ storage: {} } as never), /storage is \{\} — give a Storage/],
])("%s refuses a misspelt option, and a value that means nothing", async (_, call, message) => {
  const failure = (await call(engine).catch((e) => e)) as CohortError;
  expect(failure).toBeInstanceOf(CohortError);
  expect(failure.message).toMatch(message);
});

test("train and evaluate need nothing but a configuration", async () => {
  const small = { ...config("plain"), task: parseConfig({ task: "sort" }).task, evalPrompts: 2, evalSamples: 1 };
  const { steps } = await engine.train({ ...small, evalPrompts: 0 });
  expect(steps).toBe(1);
  expect((await engine.evaluate(small)).prompts).toBe(2);
  await expect(engine.evaluate({} as TrainConfig)).rejects.toThrow(/engine\.evaluate\(parseConfig/);
});

test.each([1, 2])("a closed engine says so from every verb, with %i threads", async (threads) => {
  const closed = await createEngine({ threads, storage });
  const under = closed.train({ ...config(`under-${threads}`), steps: 1000 }, { task, onStep: () => closed.close() });
  await expect(under).rejects.toThrow(/^the engine is closed — /);
  await closed.close();
  const calls: (() => Promise<unknown>)[] = [
    () => closed.train(config("late"), { task }),
    () => closed.start(config("late"), { task }).result,
    () => closed.evaluate(config("late"), { task }),
    () => drawn(closed, { prompt: "a" }),
    () => closed.score({ model: "run", ids: "ab" }),
    () => closed.doctor(),
    () => closed.conformance!(),
  ];
  for (const call of calls) await expect(call()).rejects.toThrow(/^the engine is closed — create another one/);
});
