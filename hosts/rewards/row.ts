/** @file What a ready-made reward reads of a sample: a column of its row, and no more text than it can bear. */
import { CohortError } from "../../core/errors.ts";
import type { Sample } from "../../core/rewards/reward.ts";
import { show } from "../../core/show.ts";

/** Completions longer than this many characters get the reward of a wrong one, unread. */
export const MAX_CHARACTERS = 100_000;

export const tooLong = ({ completion }: Sample): boolean => completion.length > MAX_CHARACTERS;

/**
 * @param option the reward's option that names the column
 * @throws CohortError("bad-reward") where the prompt has no such column
 */
export function column(sample: Sample, name: string, reward: string, option = "answer"): unknown {
  if (Object.hasOwn(sample.row, name)) return sample.row[name];
  throw new CohortError(
    "bad-reward",
    `${reward}: the row has no column "${name}" (it has ${Object.keys(sample.row).join(", ") || "none"})`,
    `add it to the prompts, or name another one: ${reward}({ ${option}: "…" })`,
  );
}

/** A column that holds a text or a number, as text. */
export function textColumn(sample: Sample, name: string, reward: string): string {
  const value = column(sample, name, reward);
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  throw new CohortError(
    "bad-reward",
    `${reward}: column "${name}" holds ${show(value)}`,
    "give a text or a number in the prompts",
  );
}
