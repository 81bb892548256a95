/** Rewards before training: what is tried, what is counted, what is warned of. */
import { expect, test } from "vitest";
import { parseConfig } from "../core/config.ts";
import { fileTask } from "../core/prompts.ts";
import { checkRewards, drawSamples } from "../core/reward-check.ts";
import type { RewardFunction } from "../core/rewards/index.ts";
import { Session } from "../core/session.ts";
import { loadTask } from "../core/tasks/index.ts";
import { openModel } from "../core/train.ts";
import { createEngine } from "../hosts/node.ts";
import { exactAnswer } from "../hosts/rewards/index.ts";

const rows = [
  { prompt: "2+2=", answer: "4" },
  { prompt: "3+3=", answer: "6" },
];
const taskOf = (rewards: Record<string, RewardFunction>, passAt = 1) =>
  fileTask({
    name: "sums",
    train: rows,
    heldout: rows,
    rewards: Object.entries(rewards).map(([name, fn]) => ({ name, fn, weight: 1 })),
    passAt,
  });
const drawn = (...completions: string[]) =>
  rows.flatMap((row) => completions.map((completion) => ({ prompt: row.prompt, completion, completionIds: [], row })));

test("a reward that tells answers apart gives no cause to warn", async () => {
  const check = await checkRewards(taskOf({ right: exactAnswer() }), rows, drawn("4", "6"), [{ completion: " 4 " }]);
  expect(check.warnings).toEqual([]);
  expect(check.frac_reward_zero_std).toBe(0);
  expect(check.samples.map((s) => [s.source, s.group, s.total])).toEqual([
    ["model", 0, 1],
    ["model", 0, 0],
    ["model", 1, 0],
    ["model", 1, 1],
    ["given", 0, 1],
    ["answer", 0, 1],
    ["answer", 1, 1],
    ["empty", 0, 0],
    ["long", 0, 0],
  ]);
  expect(check.statistics.right).toMatchObject({ weight: 1, min: 0, max: 1, scored: 9 });
});

test("what promises trouble is named", async () => {
  const length: RewardFunction = ({ completion }) => completion.length;
  const check = await checkRewards(taskOf({ length, never: () => null, always: () => 3 }, 1e9), rows, drawn("a", "b"));
  const all = check.warnings.join("\n");
  for (const part of [
    /"never" applies to no sample/,
    /"always" is 3 for every sample/,
    /every prompt's completions get equal rewards/,
    /20,000 characters of one repeated word get 20003/,
    /2 right answers do not count as right/,
  ]) {
    expect(all).toMatch(part);
  }
  const backwards = await checkRewards(taskOf({ brief: ({ completion }) => -completion.length }), rows, []);
  expect(backwards.warnings.join()).toMatch(/a right answer gets -1 and an empty completion 0/);
  expect(backwards.frac_reward_zero_std).toBeNull();
});

test("with a model: its own completions of a built-in task's prompts, and the task's right answers", async () => {
  const engine = await createEngine({ threads: 1 });
  const config = parseConfig({
    task: { name: "sort", length: 3 },
    model: { config: { hiddenSize: 16, layers: 1, heads: 2, kvHeads: 1, intermediateSize: 16 } },
    maxTokens: 4,
  });
  const task = loadTask({ name: "sort", length: 3 });
  const prompts = task.prompts("train", 2, 0);
  const { runtime } = engine;
  const loaded = await openModel(config, task, runtime!);
  const session = new Session(runtime!.device, runtime!.numeric, loaded, config.optimizer);
  const samples = await drawSamples(session, prompts, 3, config);
  session.close();
  await engine.close();
  expect(samples.length).toBe(6);
  expect(new Set(samples.map((s) => s.completion)).size).toBeGreaterThan(1);
  const check = await checkRewards(task, prompts, samples);
  const answers = check.samples.filter((s) => s.source === "answer");
  expect(answers.map((s) => [s.total, s.right])).toEqual([
    [1, true],
    [1, true],
  ]);
});
