/**
 * @file Entropy terms. `entropy` is H_{i,t} of the current policy in nats; the derivative comes out as dentropy.
 */
import type { Context } from "./context.ts";
import type { Level } from "./level.ts";
import type { Vec } from "./vec.ts";

/** coef·H as a term to subtract from the token loss. */
export function entropyBonus(c: Context, coefficient: number): Vec {
  return coefficient === 0 ? c.number(0) : c.entropy.mul(coefficient);
}

/** ln softmax of rows over the vocabulary. */
export function logSoftmax(logits: Vec, token: Level): Vec {
  return logits.sub(logits.logSumExpOver(token));
}

/** H = −Σ_v p ln p of each row, over tokens. */
export function entropyOf(logits: Vec, token: Level): Vec {
  const logp = logSoftmax(logits, token);
  return logp.exp().mul(logp).sumOver(token).neg();
}

/** Log-probability of the tokens that stand in `tokens`, from rows of logits. */
export function tokenLogp(c: Context, logits: Vec, tokens: Vec = c.field("tokens")): Vec {
  const { offsets } = logits.level.edge(c.token);
  const ids = tokens.values();
  const at = Float64Array.from(ids, (id, t) => (offsets as Int32Array)[t] + id);
  return logSoftmax(logits, c.token).gather(c.graph.constant(c.token, at));
}
