/**
 * @file Sequences packed end to end for one pass, without padding.
 *
 * The last token of a sequence predicts nothing, so a pass computes n − 1 positions of n ids.
 */
import { CohortError } from "../errors.ts";

/** Ids of one sequence; tokens from index `from` on are scored (predicted by the position before them). */
export interface Sequence {
  readonly ids: ArrayLike<number>;
  /** Index of the first scored token, at least 1. */
  readonly from: number;
}

export interface Packed {
  /** [T] */
  readonly tokens: Uint32Array;
  /** [T] */
  readonly positions: Uint32Array;
  /** Six words a sequence, as core/wasm/attention.ts wants them. */
  readonly table: Uint32Array;
  readonly sequences: number;
  readonly maxKeys: number;
  /** [S] positions whose next token is scored, sequence by sequence. */
  readonly rows: Uint32Array;
  /** [S] those next tokens. */
  readonly targets: Uint32Array;
  /** [sequences + 1] where each sequence's scored tokens begin in `rows`. */
  readonly offsets: Uint32Array;
}

/** @throws CohortError where a sequence has no token to predict from or is longer than `maxPositions` */
export function pack(sequences: readonly Sequence[], maxPositions: number, vocabSize: number): Packed {
  let total = 0;
  let scored = 0;
  let maxKeys = 0;
  sequences.forEach(({ ids, from }, i) => {
    if (from < 1 || from > ids.length) {
      throw new CohortError(
        "bad-input",
        `pack: sequence ${i} has ${ids.length} ids and is scored from ${from}`,
        "score from 1 (the first token is predicted by nothing) to the end",
      );
    }
    if (ids.length > maxPositions) {
      throw new CohortError(
        "bad-input",
        `pack: sequence ${i} has ${ids.length} tokens, the model's context is ${maxPositions}`,
        "shorten the prompt or lower maxTokens",
      );
    }
    total += ids.length - 1;
    scored += ids.length - from;
    maxKeys = Math.max(maxKeys, ids.length - 1);
  });
  const tokens = new Uint32Array(total);
  const positions = new Uint32Array(total);
  const table = new Uint32Array(6 * sequences.length);
  const rows = new Uint32Array(scored);
  const targets = new Uint32Array(scored);
  const offsets = new Uint32Array(sequences.length + 1);
  let at = 0;
  let row = 0;
  sequences.forEach(({ ids, from }, i) => {
    const n = ids.length - 1;
    table.set([at, n, 0, 0, at, n], 6 * i);
    for (let t = 0; t <= n; t++) {
      const id = ids[t];
      if (!(id >= 0 && id < vocabSize)) {
        throw new CohortError(
          "bad-input",
          `pack: sequence ${i}, token ${t}: id ${id}`,
          `ids run from 0 to ${vocabSize - 1}; use the model's own tokenizer`,
        );
      }
      if (t < n) {
        tokens[at + t] = id;
        positions[at + t] = t;
      }
      if (t >= from) {
        rows[row] = at + t - 1;
        targets[row++] = id;
      }
    }
    offsets[i + 1] = row;
    at += n;
  });
  return { tokens, positions, table, sequences: sequences.length, maxKeys, rows, targets, offsets };
}
