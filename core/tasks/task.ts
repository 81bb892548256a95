/**
 * @file What a built-in task is: problems that a program can make and check.
 *
 * Whether a problem is held out is a hash of the problem itself, so that the two splits never overlap, whatever the
 * seeds of their draws.
 */

import { CohortError, nearest } from "../errors.ts";
import type { RewardSpec, Row, Sample } from "../rewards/reward.ts";
import { hashText, Stream, streams } from "../rng.ts";

export type Split = "train" | "heldout";

/** Where prompts and rewards come from: what the trainer needs of a built-in task or of the user's own files. */
export interface TaskSource {
  readonly name: string;
  /** the rewards of training */
  readonly rewards: readonly RewardSpec[];
  /**
   * Rows start, start + 1, … of the endless sequence of a split under a seed; row k does not depend on n or start.
   * Held-out rows of one call are distinct, and fewer than n where there are fewer.
   * @throws CohortError("bad-config") where the split has no problem at all
   */
  prompts(split: Split, n: number, seed: number, start?: number): Row[];
  /** whether a completion counts as right in pass@k, from its rewards by name and their weighted sum */
  isRight(scores: Readonly<Record<string, number>>, total: number): boolean;
  /** ends a completion, where the model has no token that does */
  readonly stopCharacter?: string;
  /** a right completion, without the stop character: an example for the warm start, a demonstration, the gold answer */
  supervised?(row: Row): string;
  /** how like two texts are, from 0 to 1; without it, the cosine of their words */
  similarity?(a: string, b: string): number;
  /** training prompts, where they are not endless */
  readonly trainSize?: number;
  /** the answer that a completion stands for; equal answers vote together in maj@k */
  answer?(completion: string): string;
}

export interface Task extends TaskSource {
  /** one sentence for people, with an example */
  readonly describe: string;
  /** every character of prompts and completions, for a character tokenizer; the stop character among them */
  readonly alphabet: string;
  /** ends a completion; no right completion contains it */
  readonly stopCharacter: string;
  /** longest prompt, in characters */
  readonly maxPromptTokens: number;
  /** longest right completion with its stop character, in characters */
  readonly maxCompletionTokens: number;
  /** `correct` first, then what shaping adds */
  readonly rewards: readonly RewardSpec[];
  /** 1 where the completion is exactly right, else 0 */
  reward(sample: Sample): number;
  supervised(row: Row): string;
  answer(completion: string): string;
}

/** Right is what `correct` says, whatever shaping adds. */
export const rightByReward: TaskSource["isRight"] = (scores) => scores.correct === 1;

/** A problem before it is a row; problems that differ only in a way that does not matter share one key. */
export interface Problem {
  readonly key: string;
  readonly row: Row;
}

/** One problem in this many is held out. */
const HELD_OUT = 8;
const ATTEMPTS = 2000;

/** Which split a problem belongs to. */
export function splitOf(task: string, key: string, splitSeed: number): Split {
  return hashText(`${task}/${key}`, splitSeed) % HELD_OUT === 0 ? "heldout" : "train";
}

/** Makes `Task.prompts` from a function that draws one problem. */
export function drawing(task: string, splitSeed: number, draw: (random: Stream) => Problem): Task["prompts"] {
  const at = (split: Split, seed: number, index: number): Problem => {
    const random = new Stream(seed, streams.task, split === "train" ? 0 : 1, index);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const problem = draw(random);
      if (splitOf(task, problem.key, splitSeed) === split) return problem;
    }
    throw new CohortError(
      "bad-config",
      `task "${task}": no ${split} problem in ${ATTEMPTS} draws, there are too few problems of this size`,
      "make the task larger",
    );
  };
  return (split, n, seed, start = 0) => {
    if (split === "train") return Array.from({ length: n }, (_, k) => at(split, seed, start + k).row);
    const seen = new Set<string>();
    const rows: Row[] = [];
    for (let k = 0; rows.length < n && k < 20 * n + 200; k++) {
      const { key, row } = at(split, seed, start + k);
      if (seen.has(key)) continue;
      seen.add(key);
      rows.push(row);
    }
    return rows;
  };
}

export interface ParameterRule {
  readonly default: number;
  readonly min: number;
  readonly max: number;
  /** true where fractions are allowed */
  readonly real?: boolean;
}

/** Parameters that every task has. */
const common = {
  splitSeed: { default: 0, min: 0, max: 2 ** 31 },
  shaping: { default: 0, min: 0, max: 1, real: true },
} as const;

/**
 * A task's parameters from the configuration, with defaults; whole numbers in the ranges of `rules`.
 * @throws CohortError("bad-config") naming every wrong one
 */
export function readParameters<K extends string>(
  task: string,
  given: Record<string, unknown>,
  rules: Record<K, ParameterRule>,
): Record<K | keyof typeof common, number> {
  const all: Record<string, ParameterRule> = { ...rules, ...common };
  const wrong: string[] = [];
  const values: Record<string, number> = Object.fromEntries(Object.entries(all).map(([k, r]) => [k, r.default]));
  for (const [key, value] of Object.entries(given)) {
    const rule = all[key];
    if (!rule) {
      const near = nearest(key, Object.keys(all));
      wrong.push(`"${key}" is not a parameter${near ? ` (did you mean "${near}"?)` : ""}`);
    } else if (
      typeof value !== "number" ||
      !(value >= rule.min && value <= rule.max) ||
      !(rule.real || Number.isInteger(value))
    ) {
      const kind = rule.real ? "a number" : "a whole number";
      wrong.push(`${key} is ${JSON.stringify(value)}, want ${kind} from ${rule.min} to ${rule.max}`);
    } else values[key] = value;
  }
  if (wrong.length > 0) {
    throw new CohortError(
      "bad-config",
      `task "${task}": ${wrong.join("; ")}`,
      `its parameters are ${Object.keys(all).join(", ")}`,
    );
  }
  return values as Record<K | keyof typeof common, number>;
}

/** The rewards of a task whose answer is one known text: exactly right, and, where shaping > 0, places right. */
export function textRewards(want: (row: Row) => string, shaping: number): RewardSpec[] {
  const correct: RewardSpec = { name: "correct", weight: 1, fn: (s) => Number(s.completion === want(s.row)) };
  if (shaping === 0) return [correct];
  return [correct, { name: "places", weight: shaping, fn: (s) => placesRight(s.completion, want(s.row)) }];
}

/** Share of places at which two texts agree, over the longer one's length. */
export function placesRight(got: string, want: string): number {
  let same = 0;
  for (let i = 0; i < want.length; i++) if (got[i] === want[i]) same++;
  return same / Math.max(got.length, want.length, 1);
}
