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
  const probability = logSoftmax(logits.stop(), c.token).exp().values();
  const offsets = logits.level.edge(c.token).offsets as Int32Array;
  const allowed = new Float64Array(probability.length);
  for (let t = 0; t < c.token.size; t++) {
    const row = probability.subarray(offsets[t], offsets[t + 1]);
    const ranked = [...row.keys()].sort((a, b) => row[b] - row[a] || a - b);
    let before = 0;
    ranked.forEach((v, k) => {
      if (k === 0 || before <= topP || k < least) allowed[offsets[t] + v] = 1;
      before += row[v];
    });
    for (const v of always) if (v >= 0 && v < row.length) allowed[offsets[t] + v] = 1;
  }
  return c.lift(logits.level, allowed);
}
