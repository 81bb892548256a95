import { describe, expect, test } from "vitest";
import { parseConfig } from "../core/config.ts";
import { CohortError } from "../core/errors.ts";
import type { Storage } from "../core/host.ts";
import { stepMetrics } from "../core/log.ts";
import { freeRunFolder, listCheckpoints, openRun, readLines, readRunConfig } from "../core/run.ts";
import { memoryStorage } from "../core/storage.ts";

const config = (more: object = {}) => parseConfig({ out: "r", ...more });
const text = async (storage: Storage, path: string) => new TextDecoder().decode(await storage.read(path));

async function filled(steps: number, checkpoints: number[]): Promise<Storage> {
  const storage = memoryStorage();
  const run = await openRun(storage, config({ keepCheckpoints: 9 }));
  for (let step = 1; step <= steps; step++) {
    await run.appendMetrics(stepMetrics({ step, reward: step / 10 }));
    await run.appendSamples([{ step, when: "train", prompt: "p", completion: "c", reward: 1 }]);
    if (checkpoints.includes(step)) await run.checkpoint(step, (dir) => storage.write(`${dir}/weights`, `w${step}`));
  }
  run.close();
  return storage;
}

test("a fresh run writes its configuration, which parses to itself", async () => {
  const storage = memoryStorage();
  const run = await openRun(storage, config({ seed: 5 }));
  expect(run.resumed).toBeNull();
  expect(parseConfig(await readRunConfig(storage, "r"))).toEqual({ ...parseConfig({ seed: 5 }) });
});

test("the default folder names task, recipe, seed, and takes a free suffix", async () => {
  const storage = memoryStorage({ "runs/sort-grpo-0/config.json": "{}", "runs/sort-grpo-0-2/config.json": "{}" });
  expect(await freeRunFolder(storage, parseConfig({}))).toBe("runs/sort-grpo-0-3");
  expect((await openRun(storage, parseConfig({ recipe: "dapo", seed: 7 }))).dir).toBe("runs/sort-dapo-7");
});

test("a folder that holds something is refused without resume", async () => {
  const storage = memoryStorage({ "r/notes.txt": "mine" });
  const failure = await openRun(storage, config()).catch((e) => e);
  expect(failure).toBeInstanceOf(CohortError);
  expect(failure.exitCode).toBe(2);
  expect(failure.message).toMatch(/^run folder r: not empty \(notes\.txt\) — give another --out, or --resume/);
  expect(await text(storage, "r/notes.txt")).toBe("mine");
  await expect(openRun(storage, config({ resume: true }))).rejects.toThrow(/no config\.json, this is not a run folder/);
});

test("a resumed run goes on from its newest checkpoint, and no step stands twice", async () => {
  const storage = await filled(7, [2, 5]);
  await storage.append("r/metrics.jsonl", '{"step":8,"rew');
  const run = await openRun(storage, config({ resume: true, keepCheckpoints: 9 }));
  expect(run.resumed).toEqual({ step: 5, dir: "r/checkpoints/step-5" });
  expect((await run.metrics()).map((m) => m.step)).toEqual([1, 2, 3, 4, 5]);
  expect((await run.samples()).map((m) => m.step)).toEqual([1, 2, 3, 4, 5]);
  await run.appendMetrics(stepMetrics({ step: 6 }));
  expect((await run.metrics()).map((m) => m.step)).toEqual([1, 2, 3, 4, 5, 6]);
});

test("a folder is one run's at a time, and a default name goes to one of two that ask at once", async () => {
  const storage = memoryStorage();
  const run = await openRun(storage, config());
  await expect(openRun(storage, config({ resume: true }))).rejects.toThrow(
    /^run folder r: another run is writing to it/,
  );
  run.close();
  expect((await openRun(storage, config({ resume: true }))).dir).toBe("r");
  const both = await Promise.all([openRun(storage, parseConfig({})), openRun(storage, parseConfig({}))]);
  expect(both.map(({ dir }) => dir).sort()).toEqual(["runs/sort-grpo-0", "runs/sort-grpo-0-2"]);
});

test("fewer steps than are done are refused; what else may surprise is told", async () => {
  const storage = await filled(7, [5]);
  const fewer = openRun(storage, config({ resume: true, steps: 4 }));
  await expect(fewer).rejects.toThrow(/^run folder r: steps is 4, and 5 are done — give 5 or more/);
  expect((await readLines(storage, "r/metrics.jsonl")).length).toBe(7);
  const same = await openRun(storage, config({ resume: true }));
  expect(same.notes).toEqual([]);
  same.close();
  const longer = { resume: true, steps: config().steps + 1 };
  const constant = await openRun(storage, config(longer));
  expect(constant.notes).toEqual([]);
  const falling = { optimizer: { schedule: "linear" } };
  const elsewhere = memoryStorage();
  const begun = await openRun(elsewhere, config(falling));
  await begun.checkpoint(2, (dir) => elsewhere.write(`${dir}/weights`, "w"));
  begun.close();
  const { notes } = await openRun(elsewhere, config({ ...falling, ...longer }));
  expect(notes.join()).toMatch(/the linear schedule goes on at another learning rate/);
  const other = await openRun(memoryStorage(), config({ resume: true }));
  expect(other.notes).toEqual(["there is no run in r to resume: a new one begins"]);
});

test("without a checkpoint a resumed run starts over", async () => {
  const storage = await filled(3, []);
  const run = await openRun(storage, config({ resume: true }));
  expect(run.resumed).toBeNull();
  expect(await run.metrics()).toEqual([]);
});

test("a checkpoint is complete or absent", async () => {
  const storage = await filled(3, [3]);
  const run = await openRun(storage, config({ resume: true }));
  const full = new CohortError("io", "disk full");
  const failing = run.checkpoint(4, async (dir) => {
    await storage.write(`${dir}/weights`, "half");
    throw full;
  });
  await expect(failing).rejects.toBe(full);
  expect(await listCheckpoints(storage, "r")).toEqual([{ step: 3, dir: "r/checkpoints/step-3" }]);
  expect(await text(storage, "r/checkpoints/latest")).toBe("step-3\n");
  await storage.write("r/checkpoints/.writing-step-9/weights", "killed");
  run.close();
  await openRun(storage, config({ resume: true }));
  expect(await storage.list("r/checkpoints")).toEqual(["latest", "step-3/"]);
});

test.each([
  [1, [4]],
  [2, [3, 4]],
  [9, [1, 2, 3, 4]],
])("keeps the newest %i checkpoints", async (keepCheckpoints, want) => {
  const storage = memoryStorage();
  const run = await openRun(storage, config({ keepCheckpoints }));
  for (const step of [1, 2, 3, 4]) await run.checkpoint(step, (dir) => storage.write(`${dir}/w`, "x"));
  expect((await listCheckpoints(storage, "r")).map((c) => c.step)).toEqual(want);
});

test("checkpoints are ordered by number, not by name", async () => {
  const storage = memoryStorage();
  const run = await openRun(storage, config({ keepCheckpoints: 9 }));
  for (const step of [9, 10, 100]) await run.checkpoint(step, (dir) => storage.write(`${dir}/w`, "x"));
  expect((await listCheckpoints(storage, "r")).map((c) => c.step)).toEqual([9, 10, 100]);
});

describe("another configuration", () => {
  test("is refused by name", async () => {
    const storage = await filled(3, [3]);
    const other = config({ resume: true, seed: 1, recipe: "dapo", optimizer: { beta1: 0.5 } });
    const failure = await openRun(storage, other).catch((e) => e);
    expect(failure.message).toContain('recipe was "grpo" and is "dapo"');
    expect(failure.message).toContain("seed was 0 and is 1");
    expect(failure.message).toContain("optimizer.beta1 was");
    expect((await readLines(storage, "r/metrics.jsonl")).length).toBe(3);
  });

  test("is allowed where it changes no number before", async () => {
    const storage = await filled(3, [3]);
    const run = await openRun(
      storage,
      config({ resume: true, steps: 999, threads: 2, microBatches: 4, backend: "wasm" }),
    );
    expect(run.resumed?.step).toBe(3);
  });
});

test("a folder that cannot be written is named with the remedy", async () => {
  const storage: Storage = {
    ...memoryStorage(),
    write: () => Promise.reject(new CohortError("io", "write r/config.json: permission denied", "check the folder")),
  };
  const failure = await openRun(storage, config()).catch((e) => e);
  expect(failure.message).toBe(
    "run folder r: cannot be written: write r/config.json: permission denied — give another --out (in a configuration: out)",
  );
});

test("a bad line inside a file is an error, not silence", async () => {
  const storage = memoryStorage({ "x.jsonl": '{"step":1}\nrubbish\n{"step":2}\n' });
  await expect(readLines(storage, "x.jsonl")).rejects.toThrow(/^x\.jsonl, line 2: not JSON/);
});
