import { describe, expect, test } from "vitest";
import {
  applySet,
  configKeys,
  describeConfig,
  isFileTask,
  MAX_THREADS,
  parseConfig,
  resolvePath,
  taskName,
} from "../core/config.ts";
import { CohortError } from "../core/errors.ts";
import { openRun } from "../core/run.ts";
import { memoryStorage } from "../core/storage.ts";
import { CpuDevice } from "../hosts/cpu.ts";

test("an empty object takes every default, and a parsed configuration parses to itself", () => {
  const config = parseConfig({});
  expect(config.recipe).toBe("grpo");
  expect(config.task).toEqual({ name: "sort" });
  expect(config.optimizer.learningRate).toBe(config.learningRate);
  expect(config.lora).toBeNull();
  expect(parseConfig(JSON.parse(JSON.stringify(config)))).toEqual(config);
  const rich = parseConfig({
    model: "m",
    task: { prompts: "p.jsonl", reward: "r.mjs", weights: { a: 2 } },
    lora: { rank: 4 },
    warmStart: { steps: 5 },
    optimizer: { schedule: "cosine", learningRate: 0.5 },
    precision: 24,
    threads: 2,
  });
  expect(rich.lora).toEqual({ rank: 4, alpha: 32, targetModules: "all-linear" });
  expect(rich.warmStart).toEqual({ steps: 5, batch: 32, learningRate: 0.5 });
  expect(rich.learningRate).toBe(0.5);
  expect(parseConfig(JSON.parse(JSON.stringify(rich)))).toEqual(rich);
});

test("every key has a default that is allowed, and a line of help", () => {
  for (const { path, standard, doc } of configKeys()) {
    expect(doc, path).not.toBe("");
    expect(standard, path).toBeDefined();
  }
  expect(configKeys().map((k) => k.path)).toEqual(expect.arrayContaining(["steps", "optimizer.beta2", "lora.rank"]));
});

const message = (json: unknown): string => {
  try {
    parseConfig(json, { where: "run.json" });
  } catch (error) {
    expect(error).toBeInstanceOf(CohortError);
    expect((error as CohortError).exitCode).toBe(2);
    return (error as Error).message;
  }
  throw new Error(`accepted ${JSON.stringify(json)}`);
};

test("all wrong keys are named at once, each with the nearest right one", () => {
  const text = message({ stpes: 3, learningrate: 1, optimizer: { bata1: 0.5 }, zzzzzz: 1, lora: { rnak: 2 } });
  expect(text).toMatch(/^run\.json: 5 things are wrong: /);
  expect(text).toContain("stpes is not a key (did you mean steps?)");
  expect(text).toContain("learningrate is not a key (did you mean learningRate?)");
  expect(text).toContain("optimizer.bata1 is not a key (did you mean optimizer.beta1?)");
  expect(text).toContain("lora.rnak is not a key (did you mean lora.rank?)");
  expect(text).toMatch(/zzzzzz is not a key;/);
  expect(text).toMatch(/ — correct this; `cohort train --help` lists every key$/);
});

describe("wrong values are named with what is wanted", () => {
  test.each([
    [{ steps: -1 }, "steps is -1, want a whole number of at least 0"],
    [{ steps: 1.5 }, "steps is 1.5, want a whole number of at least 0"],
    [{ steps: 1e12 }, "steps is 1000000000000, want a whole number from 0 to 2147483647"],
    [{ lora: { rank: 2000 } }, "lora.rank is 2000, want a whole number from 1 to 1024"],
    [{ temperature: 101 }, "temperature is 101, want a number from 0 to 100"],
    [{ learningRate: Number.POSITIVE_INFINITY }, "learningRate is Infinity, want a finite number of at least 0"],
    [{ task: { prompts: "p", reward: "r", passAt: "x" } }, 'task.passAt is "x", want a number'],
    [{ threads: 65 }, 'threads is 65, want "auto" or a whole number from 1 to 64'],
    [{ steps: "10" }, 'steps is "10"'],
    [{ steps: null }, "steps is null"],
    [{ topP: 0 }, "topP is 0, want a number from 0.000001 to 1"],
    [{ learningRate: Number.NaN }, "learningRate is NaN"],
    [{ precision: 16 }, 'precision is 16, want 12 or 24 or "fast"'],
    [{ backend: "cuda" }, 'backend is "cuda", want "auto" or "wasm" or "webgpu"'],
    [{ threads: 0 }, 'threads is 0, want "auto" or a whole number from 1 to 64'],
    [{ model: "" }, 'model is "", want a directory or {config}'],
    [{ task: "srot" }, 'did you mean "sort"'],
    [{ task: { name: "sort", length: 99 } }, "length is 99, want a whole number from 2 to 32"],
    [{ task: {} }, "task is {}, want a name"],
    [{ task: { prompts: "p.jsonl" } }, "task.reward is missing"],
    [{ task: { prompts: "p", reward: "r", weights: { a: "x" } } }, 'task.weights.a is "x", want a number'],
    [{ optimizer: { schedule: "step" } }, 'optimizer.schedule is "step", want "constant" or "linear" or "cosine"'],
    [{ lora: { targetModules: [] } }, 'lora.targetModules is [], want "all-linear" or a list of names'],
    [{ learningRate: 1, optimizer: { learningRate: 2 } }, "want one"],
    [{ promptsPerStep: 1, rolloutsPerPrompt: 2, miniBatches: 3 }, "miniBatches is 3, want at most the 2 trajectories"],
    [
      { promptsPerStep: 1, rolloutsPerPrompt: 4, miniBatches: 2, microBatches: 3 },
      "microBatches is 3, want at most the 2",
    ],
    [{ reference: "adapter-off" }, "adapter-off"],
    [[], "got []"],
    ["x", 'got "x"'],
  ])("%j", (json, want) => expect(message(json)).toContain(want));
});

test("the limit of threads is the CPU device's", async () => {
  expect(parseConfig({ threads: MAX_THREADS }).threads).toBe(MAX_THREADS);
  await expect(CpuDevice.create(MAX_THREADS + 1)).rejects.toThrow(`from 1 to ${MAX_THREADS}`);
});

test("paths are relative to the configuration file", () => {
  const config = parseConfig(
    { model: "../models/a", task: { prompts: "p.jsonl", reward: "/abs/r.mjs" }, out: "./runs/x" },
    { base: "/work/examples" },
  );
  expect(config.model).toBe("/work/models/a");
  expect(isFileTask(config.task) && config.task.prompts).toBe("/work/examples/p.jsonl");
  expect(isFileTask(config.task) && config.task.reward).toBe("/abs/r.mjs");
  expect(config.out).toBe("/work/examples/runs/x");
  expect(taskName(config)).toBe("p");
});

test.each([
  ["a/b", "../../../c", "../c"],
  ["/a", "../../b", "/../b"],
  ["a", "./b//c/", "a/b/c"],
  ["", "x", "x"],
  ["C:/a", "D:/b", "D:/b"],
  ["a", "https://x/y", "https://x/y"],
])("resolvePath(%s, %s) = %s", (base, path, want) => expect(resolvePath(base, path)).toBe(want));

test("--set reaches nested keys, reads JSON, else text, and leaves its argument alone", () => {
  const json = { task: "sort", steps: 5 };
  const set = applySet(json, [
    "steps=7",
    "lora.rank=4",
    "task.length=6",
    "recipe=dapo",
    'model={"config":{}}',
    "out=a=b",
  ]);
  expect(set).toEqual({
    task: { name: "sort", length: 6 },
    steps: 7,
    lora: { rank: 4 },
    recipe: "dapo",
    model: { config: {} },
    out: "a=b",
  });
  expect(json).toEqual({ task: "sort", steps: 5 });
  const complete = parseConfig({ learningRate: 1 });
  for (const name of ["learningRate", "optimizer.learningRate"]) {
    const { learningRate, optimizer } = parseConfig(applySet(complete, [`${name}=2`]));
    expect([learningRate, optimizer.learningRate, complete.optimizer.learningRate]).toEqual([2, 2, 1]);
  }
  for (const bad of ["steps", "=3", "a..b=1", "__proto__.x=1"]) {
    expect(() => applySet({}, [bad])).toThrow(/write --set key=value/);
  }
  expect(message(applySet({}, ["stpes=3"]))).toContain("did you mean steps");
});

test("derived numbers", () => {
  const config = parseConfig({
    promptsPerStep: 6,
    rolloutsPerPrompt: 4,
    miniBatches: 2,
    microBatches: 5,
    epochsPerBatch: 3,
    steps: 10,
    maxTokens: 7,
  });
  expect(describeConfig(config)).toEqual({
    trajectoriesPerStep: 24,
    trajectoriesPerOptimizerStep: 12,
    trajectoriesPerMicroBatch: 3,
    optimizerStepsPerStep: 6,
    optimizerSteps: 60,
    sampledTokens: 1680,
  });
});

describe("a run resumed under another configuration", () => {
  const refusal = async (before: object, now: object): Promise<string> => {
    const storage = memoryStorage({ "r/config.json": JSON.stringify(parseConfig(before)) });
    const failure = await openRun(storage, parseConfig({ ...now, out: "r", resume: true })).catch((error) => error);
    expect(failure).toBeInstanceOf(CohortError);
    return failure.message.replace(/^.*another configuration: | — .*$/g, "");
  };

  test.each([
    [{ learningRate: 1 }, { learningRate: 2 }, "optimizer.learningRate was 1 and is 2"],
    [
      { learningRate: 1, warmStart: { steps: 3 } },
      { learningRate: 2, warmStart: { steps: 4 } },
      "optimizer.learningRate was 1 and is 2; warmStart.steps was 3 and is 4",
    ],
    [
      { learningRate: 1, warmStart: { learningRate: 1 } },
      { learningRate: 2, warmStart: { learningRate: 3 } },
      "optimizer.learningRate was 1 and is 2; warmStart.learningRate was 1 and is 3",
    ],
    [{}, { warmStart: { learningRate: 3 }, lora: null }, /^warmStart was null and is {"batch":32,.*}$/],
    [{ params: { a: 1, b: [1, 2] } }, { params: { a: 1, b: [1, 3] } }, "params.b was [1,2] and is [1,3]"],
    [{ params: {} }, { params: { a: 1 } }, "params.a was not given and is 1"],
    [{ model: { config: {} } }, { model: { config: { layers: 3 } } }, "model.config.layers was not given and is 3"],
    [{}, { task: { prompts: "p", reward: "r" } }, /^task was {"name":"sort"} and is {"heldout":null,.*}$/],
  ])("%j, then %j", async (before, now, told) => {
    if (typeof told === "string") expect(await refusal(before, now)).toBe(told);
    else expect(await refusal(before, now)).toMatch(told);
  });
});
