/** @file The prompts and rewards that a configuration asks for: a built-in task, or the user's own files. */

import { type BuiltInTask, isFileTask, type TrainConfig, taskName } from "../../core/config.ts";
import { readText, type Storage } from "../../core/host.ts";
import { fileTask, parsePrompts, splitRows } from "../../core/prompts.ts";
import { loadTask, type TaskSource } from "../../core/tasks/index.ts";
import { loadRewardFile } from "./reward-file.ts";

/**
 * A data set is not among them: the engine opens that itself (hosts/data-set.ts).
 * @param note told where training and held-out prompts are the same
 * @throws CohortError for files that are missing or malformed
 */
export async function taskSource(
  config: TrainConfig,
  storage: Storage,
  note: (text: string) => void = () => {},
): Promise<TaskSource> {
  const { task } = config;
  if (!isFileTask(task)) return loadTask(task as BuiltInTask);
  const rewards = await loadRewardFile(task.reward, task.weights);
  const rows = parsePrompts(await readText(storage, task.prompts), task.prompts);
  let train = rows;
  let heldout = rows;
  if (task.heldout !== null) heldout = parsePrompts(await readText(storage, task.heldout), task.heldout);
  else {
    const split = splitRows(rows);
    train = split.train;
    heldout = split.heldout;
    if (split.overlap) note(`${task.prompts}: too few prompts to hold some out; evaluation uses those of training`);
  }
  return fileTask({ name: taskName(config), train, heldout, rewards, passAt: task.passAt });
}
