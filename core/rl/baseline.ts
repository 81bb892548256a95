/**
 * @file Baselines and normalisers: from rewards to advantages.
 *
 * Degenerate cases, all of them without NaN: a segment of one has advantage 0 and deviation 0; a segment of equal values
 * has exactly 0 (not rounding noise over a small deviation); missing rewards (weight 0) leave every moment and get 0.
 */
import type { Context } from "./context.ts";
import { ALL, type Level } from "./level.ts";
import type { Vec } from "./vec.ts";

/** x − mean over the level. `weight`: 1 where x is there, 0 where it is missing. */
export function centred(x: Vec, level: Level, weight?: Vec): Vec {
  const centre = x.centreOver(level, weight);
  return weight ? centre.mul(weight) : centre;
}

/** x − mean of the other elements of the segment (RLOO, arXiv 2402.14740); 0 for a segment of one. */
export function leaveOneOut(x: Vec, level: Level, weight?: Vec): Vec {
  const n = (weight ?? x.graph.full(x.level, 1)).to(x.level).sumOver(level);
  return centred(x, level, weight).mul(n.div(n.sub(1)));
}

export interface ZScore {
  /** Added to the deviation. */
  eps: number;
  /** The divisor of the variance is n − ddof (default 1). */
  ddof?: number;
  /** The level whose deviation divides (default: the baseline's). */
  scaleOver?: Level;
  weight?: Vec;
  /** A segment of one keeps its raw value over 1 + eps: mean 0 and deviation 1 (verl), in place of 0. */
  rawSingles?: boolean;
}

/** (x − mean over the level) / (deviation + eps): GRPO's group-relative advantage (arXiv 2402.03300). */
export function zScore(
  x: Vec,
  level: Level,
  { eps, ddof = 1, scaleOver = level, weight, rawSingles = false }: ZScore,
): Vec {
  const score = centred(x, level, weight).div(x.stdOver(scaleOver, { ddof, weight }).add(eps));
  if (!rawSingles) return score;
  const single = (weight ?? x.graph.full(x.level, 1)).to(x.level).sumOver(level).eq(1);
  return single.where(x.mul(weight ?? 1).div(1 + eps), score);
}

/**
 * (x − μ) / sqrt(σ² + eps) over all trained tokens of the batch, 0 on the others: the whitening of PPO and REINFORCE++.
 * One trained token has σ² = 0, so it becomes 0.
 */
export function whiten(c: Context, x: Vec, { eps = 1e-8, ddof = 1 }: { eps?: number; ddof?: number } = {}): Vec {
  const weight = c.mask;
  const variance = x.varOver(ALL, { ddof, weight });
  return x.centreOver(ALL, weight).div(variance.add(eps).sqrt()).mul(weight);
}
