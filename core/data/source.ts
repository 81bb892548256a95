/** @file A data set as the trainer reads it: examples, some held out, in passes of random order. */
import { CohortError } from "../errors.ts";
import { hashText, Stream, streams } from "../rng.ts";
import { type DataFormat, type Example, readExamples } from "./example.ts";
import type { DataRow } from "./lines.ts";

export interface DataSource {
  readonly name: string;
  readonly format: DataFormat;
  readonly train: readonly Example[];
  readonly heldout: readonly Example[];
  /**
   * Examples start, start + 1, … of the endless sequence under a seed: passes over `train`, each in its own order.
   * Example k does not depend on n or start.
   */
  examples(n: number, seed: number, start?: number): Example[];
}

/** One in this many is held out. */
const HELD_OUT = 8;

/**
 * @param given.heldout rows for evaluation; absent: an eighth of the rows is kept apart, by a hash of the prompt
 * @param given.note told where there are too few rows to keep some apart
 * @throws CohortError("bad-input") naming the row that is malformed
 */
export function dataSource(given: {
  name: string;
  rows: readonly DataRow[];
  format?: DataFormat | "auto";
  heldout?: readonly DataRow[];
  note?: (text: string) => void;
}): DataSource {
  const all = readExamples(given.rows, given.format ?? "auto");
  if (all.length === 0) throw new CohortError("bad-input", `${given.name}: no example in it`, "give at least one");
  const { format } = all[0];
  let [train, heldout] = [all, all];
  if (given.heldout) heldout = readExamples(given.heldout, format);
  else {
    const apart = (example: Example) => hashText(keyOf(example)) % HELD_OUT === 0;
    [train, heldout] = [all.filter((e) => !apart(e)), all.filter(apart)];
    if (train.length === 0 || heldout.length === 0) {
      [train, heldout] = [all, all];
      given.note?.(`${given.name}: too few examples to hold some out; evaluation uses those of training`);
    }
  }
  const orders = new Map<string, Uint32Array>();
  const order = (seed: number, pass: number): Uint32Array => {
    const name = `${seed}/${pass}`;
    let found = orders.get(name);
    if (!found) {
      found = new Stream(seed, streams.task, 0, pass).shuffle(Uint32Array.from(train, (_, i) => i));
      if (orders.size > 4) orders.clear();
      orders.set(name, found);
    }
    return found;
  };
  return {
    name: given.name,
    format,
    train,
    heldout,
    examples: (n, seed, start = 0) =>
      Array.from({ length: n }, (_, k) => {
        const at = start + k;
        return train[order(seed, Math.floor(at / train.length))[at % train.length]];
      }),
  };
}

/** Rows of one prompt are on one side. */
function keyOf(example: Example): string {
  if (example.format === "text") return example.text;
  return JSON.stringify(example.format === "messages" ? example.messages : example.prompt);
}
