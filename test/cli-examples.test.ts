import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isDataTask, isFileTask, parseConfig } from "../core/config.ts";
import { demoConfig } from "../core/demo.ts";
import { loadTask } from "../core/tasks/index.ts";
import { taskSource } from "../hosts/cli/task-source.ts";
import { openDataSet } from "../hosts/data-set.ts";
import { nodeStorage } from "../hosts/storage.ts";

const examples = join(import.meta.dirname, "../examples");

test.each(readdirSync(examples).filter((f) => f.endsWith(".json")))("%s parses and its files load", async (name) => {
  const config = parseConfig(JSON.parse(readFileSync(join(examples, name), "utf8")), { base: examples, where: name });
  if (isDataTask(config.task)) {
    const data = await openDataSet(config.task, name, nodeStorage());
    expect(data.train.length).toBeGreaterThan(data.heldout.length);
    expect(data.heldout.length).toBeGreaterThan(0);
    return;
  }
  const source = await taskSource(config, nodeStorage());
  expect(source.prompts("train", 4, 0)).toHaveLength(4);
  expect(source.prompts("heldout", 4, 0).length).toBeGreaterThan(0);
});

test("the stories' reward wants animals and no repeats", async () => {
  const config = parseConfig(JSON.parse(readFileSync(join(examples, "stories.json"), "utf8")), { base: examples });
  expect(isFileTask(config.task)).toBe(true);
  const [{ fn }] = (await taskSource(config, nodeStorage())).rewards;
  const score = (completion: string) => fn({ prompt: "p", completion, completionIds: [], row: { prompt: "p" } });
  expect(score("She went home to her mom.")).toBe(0);
  expect(score("")).toBe(0);
  expect(score("She saw a dog, two cats and a bird in the park.")).toBe(1);
  expect(score("She saw a dog in the park.")).toBeCloseTo(1 / 3, 12);
  expect(score("dog ".repeat(50))).toBeLessThan(0.01);
});

test("the demonstration fits its task: completions end inside maxTokens, prompts inside the model's positions", () => {
  const config = parseConfig(demoConfig);
  const task = loadTask(config.task as { name: string });
  expect(config.maxTokens).toBeGreaterThanOrEqual(task.maxCompletionTokens);
  const positions = typeof config.model === "object" ? Number(config.model.config.maxPositions) : 0;
  expect(positions).toBeGreaterThanOrEqual(task.maxPromptTokens + config.maxTokens + 1);
});
