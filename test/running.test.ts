/** A run in hand: observed from its first step, paused and resumed without a change of bits, stopped, failed. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseConfig } from "../core/config.ts";
import type { HostEngine } from "../hosts/engine.ts";
import { createEngine } from "../hosts/node.ts";

const folder = mkdtempSync(join(tmpdir(), "cohort-running-"));
let engine: HostEngine;
let meanwhile: HostEngine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
  meanwhile = await createEngine({ threads: 1 });
});
afterAll(async () => {
  await engine.close();
  await meanwhile.close();
  rmSync(folder, { recursive: true, force: true });
});

const config = (out: string, steps = 6) =>
  parseConfig({
    model: { config: { hiddenSize: 16, layers: 1, heads: 2, kvHeads: 1, intermediateSize: 16 }, tokenizer: "byte" },
    promptsPerStep: 2,
    rolloutsPerPrompt: 2,
    maxTokens: 3,
    steps,
    evalPrompts: 0,
    out: join(folder, out),
  });
const task = {
  prompts: [{ prompt: "a" }, { prompt: "b" }],
  rewards: ({ completionIds }: { completionIds: ArrayLike<number> }) => ((completionIds[0] ?? 0) as number) % 7,
};

test("steps arrive one by one, to every observer all of them; a pause changes no bit", async () => {
  const plain = await engine.train(config("plain"), { task });
  let done = 0;
  const run = engine.start(config("observed"), { task, onStep: () => void done++ });
  const seen: number[] = [];
  for await (const { step } of run) {
    seen.push(step);
    if (step !== 2) continue;
    run.pause();
    expect(run.paused).toBe(true);
    // A whole run of the same size goes by meanwhile; here at most the step that had begun ends.
    await meanwhile.train(config("meanwhile"), { task });
    expect(done).toBeLessThan(4);
    run.resume();
  }
  expect(seen).toEqual([1, 2, 3, 4, 5, 6]);
  expect((await run.result).digest).toBe(plain.digest);
  const late: number[] = [];
  for await (const { step } of run) late.push(step);
  expect(late).toEqual(seen);
  run.pause();
  expect(run.paused).toBe(false);
});

test("stop ends a paused run with a checkpoint; so does the app's signal", async () => {
  const run = engine.start(config("stopped", 50), { task });
  for await (const { step } of run) {
    if (step === 1) run.pause();
    if (run.paused) break;
  }
  const result = await run.stop();
  expect(result.interrupted).toBe(true);
  expect(await engine.storage.list(join(folder, "stopped/checkpoints"))).toContain(`step-${result.steps}/`);

  const signal = new AbortController();
  const other = engine.start(config("signalled", 50), { task, signal: signal.signal });
  other.pause();
  signal.abort();
  expect((await other.result).steps).toBe(0);
});

test("a run that fails says so to who waits and to who iterates", async () => {
  const broken = () => {
    throw new Error("no judge today");
  };
  const run = engine.start(config("failed"), { task: { ...task, rewards: broken } });
  await expect(
    (async () => {
      for await (const _ of run);
    })(),
  ).rejects.toThrow(/no judge today/);
  await expect(run.result).rejects.toThrow(/no judge today/);
});

test("a stopped run gives up a reward that never settles; the steps before it are kept", async () => {
  let asked = 0;
  const notes: string[] = [];
  const stuck = {
    prompts: task.prompts,
    rewards: async (sample: { completionIds: ArrayLike<number> }) => {
      // Two of the trial before training, four a step.
      if (++asked > 12) await new Promise(() => {});
      return task.rewards(sample);
    },
  };
  const stop = new AbortController();
  const run = engine.start(config("stuck", 50), {
    task: stuck,
    signal: stop.signal,
    onNote: (text) => void notes.push(text),
    onStep: ({ step }) => void (step === 2 && setTimeout(() => stop.abort(), 50)),
  });
  const { interrupted, steps, checkpoint } = await run.result;
  expect([interrupted, steps]).toEqual([true, 2]);
  expect(checkpoint).toMatch(/step-2$/);
  expect(notes.join()).toMatch(/step 3 is given up: .*nothing came of it in the 5 s/);
}, 30_000);

test("groups of one are told after the first step", async () => {
  const notes: string[] = [];
  const alone = { ...config("alone", 2), rolloutsPerPrompt: 1 };
  await engine.train(alone, { task, onNote: (text) => void notes.push(text) });
  expect(notes.filter((text) => /rolloutsPerPrompt is 1/.test(text)).length).toBe(1);
});
