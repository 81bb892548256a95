/**
 * @file Importance ratios between the current and the old policy, at any level.
 *
 * The exponential saturates at e^±300 ≈ 10^±130 (ops.ts), so that no ratio, nor the product of two, is infinite; nothing
 * that fits into a sensible batch reaches it. Tokens with mask 0 never enter a ratio of a coarser level.
 */
import type { Context } from "./context.ts";
import type { Level } from "./level.ts";
import type { Vec } from "./vec.ts";

export interface RatioOptions {
  /** The policy that the samples came from (default lp_old). */
  old?: Vec;
  /** Clamp of each token's lp − lp_old (verl: 20), with gradient 0 beyond; default none. */
  limit?: number;
}

/** lp − lp_old. */
export function logRatio(c: Context, { old = c.logpOld, limit }: RatioOptions = {}): Vec {
  const d = c.logp.sub(old);
  return limit === undefined ? d : d.clamp(-limit, limit);
}

/** ρ_{i,t} = exp(lp − lp_old): PPO, GRPO. */
export function tokenRatio(c: Context, options?: RatioOptions): Vec {
  return logRatio(c, options).exp();
}

/**
 * One ratio for each element of a level: the exponential of the mean ("geometric": GSPO over trajectories, ST-PPO over
 * turns) or of the sum ("product": RLOO, TOPR) of its trained tokens' log-ratios. No trained token: ratio 1.
 */
export function levelRatio(c: Context, level: Level, kind: "geometric" | "product", options?: RatioOptions): Vec {
  return levelLogRatio(c, level, kind, options).exp();
}

/** The logarithm of levelRatio. */
export function levelLogRatio(c: Context, level: Level, kind: "geometric" | "product", options?: RatioOptions): Vec {
  const sum = c.mask.mul(logRatio(c, options)).sumOver(level);
  return kind === "product" ? sum : sum.div(c.mask.sumOver(level).max(1));
}

/** Value of s, derivative of each token's own log-probability: sg(s)·exp(lp − sg(lp)) (GSPO-token). */
export function withTokenGradient(c: Context, s: Vec): Vec {
  return s.stop().mul(onPolicyRatio(c));
}

/** exp(lp − sg(lp)): value 1 with the derivative of the score function. */
export function onPolicyRatio(c: Context): Vec {
  return c.logp.sub(c.logp.stop()).exp();
}
