/**
 * @file Masks over rows of the vocabulary.
 */
import type { Context } from "./context.ts";
import { logSoftmax } from "./entropy.ts";
import type { Vec } from "./vec.ts";

export interface Nucleus {
  /** Probability mass that stays, with the token that passes it. */
  topP: number;
  /** Ranks that stay in any case. */
  least: number;
  /** Token ids that are always allowed. */
  always: readonly number[];
}

/** 1 on the tokens of each row that the nucleus of these logits leaves (arXiv 1904.09751), else 0: a constant. */
export function nucleus(c: Context, logits: Vec, { topP, least, always }: Nucleus): Vec {
  return ranked(c, logits, always, (k, before) => k === 0 || before <= topP || k < least);
}

/** 1 on the k likeliest tokens of each row and on those that are always allowed, else 0: a constant. */
export function topRanks(c: Context, logits: Vec, { k, always }: { k: number; always: readonly number[] }): Vec {
  return ranked(c, logits, always, (rank) => rank < k);
}

/** 1 where a rule on a token's rank and the mass of the likelier ones allows it (ties: the lower id first). */
function ranked(
  c: Context,
  logits: Vec,
  always: readonly number[],
  stays: (rank: number, before: number) => boolean,
): Vec {
  const probability = logSoftmax(logits.stop(), c.token).exp().values();
  const offsets = logits.level.edge(c.token).offsets as Int32Array;
  const allowed = new Float64Array(probability.length);
  for (let t = 0; t < c.token.size; t++) {
    const row = probability.subarray(offsets[t], offsets[t + 1]);
    const order = [...row.keys()].sort((a, b) => row[b] - row[a] || a - b);
    let before = 0;
    order.forEach((v, k) => {
      if (stays(k, before)) allowed[offsets[t] + v] = 1;
      before += row[v];
    });
    for (const v of always) if (v >= 0 && v < row.length) allowed[offsets[t] + v] = 1;
  }
  return c.lift(logits.level, allowed);
}
