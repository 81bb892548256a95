/** @file The built-in tasks by name. */

import { CohortError, nearest } from "../errors.ts";
import { addition } from "./addition.ts";
import { countdown } from "./countdown.ts";
import { reverse } from "./reverse.ts";
import { sort } from "./sort.ts";
import type { Task } from "./task.ts";

export type { Split, Task, TaskSource } from "./task.ts";

const factories: Record<string, (parameters: Record<string, unknown>) => Task> = { addition, countdown, reverse, sort };

export const taskNames: readonly string[] = /* @__PURE__ */ Object.keys(factories);

/**
 * A built-in task from its name, or from {name, …parameters}.
 * @throws CohortError("bad-config") for an unknown name or a parameter out of range
 */
export function loadTask(task: string | { readonly name: string; readonly [parameter: string]: unknown }): Task {
  const { name, ...parameters } = typeof task === "string" ? { name: task } : task;
  if (!Object.hasOwn(factories, name)) {
    const near = nearest(name, taskNames);
    throw new CohortError(
      "bad-config",
      `loadTask: "${name}" is not a built-in task${near ? ` (did you mean "${near}"?)` : ""}`,
      `choose one of ${taskNames.join(", ")}, or give {"prompts": FILE.jsonl, "reward": FILE.mjs}`,
    );
  }
  return factories[name](parameters);
}
