/**
 * @file Entropy terms. `entropy` is H_{i,t} of the current policy in nats; the derivative comes out as dentropy.
 */
import type { Context } from "./context.ts";
import { ALL, type Level } from "./level.ts";
import type { Vec } from "./vec.ts";

/** coef·H as a term to subtract from the token loss. */
export function entropyBonus(c: Context, coefficient: number): Vec {
  return coefficient === 0 ? c.number(0) : c.entropy.mul(coefficient);
}

/** Mean entropy of each trajectory's trained tokens (0 without any), as a constant. */
export function meanEntropy(c: Context): Vec {
  return c.entropy.stop().meanOver(c.trajectory, c.mask);
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

/**
 * Where the entry of each sampled token stands among the rows over the vocabulary.
 *
 * @throws CohortError "bad-batch" for a token id that its row does not have
 */
export function tokenIndex(c: Context, rows: Level, tokens: Vec = c.field("tokens")): Vec {
  const offsets = rows.edge(c.token).offsets as Int32Array;
  const at = Float64Array.from(tokens.values(), (id, t) => {
    const size = offsets[t + 1] - offsets[t];
    if (!(id >= 0 && id < size && Math.floor(id) === id)) {
      c.refuse(
        `tokenIndex: token ${t} of the batch has id ${id} for a row of ${size}`,
        `give ids from 0 to ${size - 1}`,
      );
    }
    return offsets[t] + id;
  });
  return c.graph.constant(c.token, at);
}

/** Log-probability of the tokens that stand in `tokens`, from rows of logits. */
export function tokenLogp(c: Context, logits: Vec, tokens: Vec = c.field("tokens")): Vec {
  return logSoftmax(logits, c.token).gather(tokenIndex(c, logits.level, tokens));
}

/**
 * (A − mean)·(lp − mean) of each token, means over the trained tokens: how much a step on the token changes the entropy
 * (arXiv 2505.22617). Constant for derivatives.
 */
export function covariance(c: Context, advantage: Vec): Vec {
  const offMean = (x: Vec): Vec => x.to(c.token).stop().centreOver(ALL, c.mask);
  return offMean(advantage).mul(offMean(c.logp));
}
