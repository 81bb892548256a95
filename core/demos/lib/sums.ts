/**
 * @file Sums from a list that a run comes back to. In the seconds that a demonstration has, a tiny transformer learns such a
 * list by heart, sum by sum, digit by digit; addition itself it does not.
 */
import type { Row } from "../../rewards/index.ts";
import { Stream, streams } from "../../rng.ts";
import { addition } from "../../tasks/addition.ts";
import type { Task } from "../../tasks/task.ts";

const two = addition({ digits: 2 });

/** Whether the ones of both numbers give more than nine. */
export const carries = (row: Row): boolean => (Number(row.a) % 10) + (Number(row.b) % 10) > 9;

/** `count` different sums of two numbers of two digits, with a carry from the ones, without one, or either. */
export function sums(count: number, seed: number, carry?: boolean): Row[] {
  const rows = new Map<string, Row>();
  for (let start = 0; rows.size < count; start += count) {
    for (const row of two.prompts("train", count, seed, start)) {
      if (rows.size < count && (carry === undefined || carries(row) === carry)) rows.set(String(row.prompt), row);
    }
  }
  return [...rows.values()];
}

/** Passes over the rows, each in its own random order; a row that stands there twice is drawn twice as often. */
export function listTask(rows: readonly Row[], over: Partial<Task> = {}): Task {
  const at = (seed: number, place: number): Row => {
    const order = new Stream(seed, streams.task, 0, Math.floor(place / rows.length)).shuffle(rows.map((_, k) => k));
    return rows[order[place % rows.length]];
  };
  return {
    ...two,
    trainSize: rows.length,
    prompts: (_split, n, seed, start = 0) => Array.from({ length: n }, (_, k) => at(seed, start + k)),
    ...over,
  };
}

/** Supervised steps of 16 examples after which a list of 48 sums is solved about every other time. */
export const lesson = { steps: 200, batch: 16, learningRate: 0.003 };

/** Keys of a run on sums: as the other transformers of these demonstrations, evaluated on the list itself. */
export const summing = {
  promptsPerStep: 16,
  rolloutsPerPrompt: 8,
  maxTokens: 4,
  learningRate: 1e-3,
  evalPrompts: 0,
  evalSamples: 16,
};
