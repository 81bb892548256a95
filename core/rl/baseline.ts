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
  return rawSingles ? keepSingles(x.div(1 + eps), level, score, weight) : score;
}

/** `score`, and x itself in a segment of one element: verl's rule, whose baseline is 0 where there is nothing to compare. */
export function keepSingles(x: Vec, level: Level, score: Vec, weight?: Vec): Vec {
  const single = (weight ?? x.graph.full(x.level, 1)).to(x.level).sumOver(level).eq(1);
  return single.where(weight ? x.mul(weight) : x, score);
}

/**
 * (x − μ) / sqrt(σ² + eps) over all trained tokens of the batch, 0 on the others: the whitening of PPO and REINFORCE++.
 * One trained token has σ² = 0, so it becomes 0.
 */
export function whiten(c: Context, x: Vec, options: { eps?: number; ddof?: number } = {}): Vec {
  return whitenAll(c, x, options).mul(c.mask);
}

/** As whiten, with the other tokens moved by the trained tokens' mean and deviation too. */
export function whitenAll(c: Context, x: Vec, { eps = 1e-8, ddof = 1 }: { eps?: number; ddof?: number } = {}): Vec {
  const weight = c.mask;
  const variance = x.varOver(ALL, { ddof, weight });
  return x.centreOver(ALL, weight).div(variance.add(eps).sqrt());
}

/** Which tokens of a group stand side by side, and where a trajectory has outlived the others. */
export interface PositionBaseline {
  /** Position of each token; those of one group with the same position share a baseline. */
  place: Vec;
  /** Not negative; a token weighs by it in the mean. */
  weight: Vec;
  /** The one longest trajectory of a group has baseline 0 from the second longest's length (Σ m) on. */
  zeroTail: boolean;
  /** Trajectories that take part, as 1s and 0s over trajectories; where a group has one, its baseline is 0. */
  present: Vec;
  eps: number;
}

/** The group's weighted mean of x over trained tokens at equal position: Σ_j xw / (Σ_j w + eps), over tokens. */
export function positionBaseline(c: Context, x: Vec, { place, weight, zeroTail, present, eps }: PositionBaseline): Vec {
  const group = c.token.edge(c.group).index;
  const level = c.keyed("position", c.token, group, place.values());
  const w = weight.mul(c.mask);
  const mean = x.mul(w).sumOver(level).div(w.sumOver(level).add(eps)).to(c.token);
  const alone = present.sumOver(c.group).le(1);
  if (!zeroTail) return alone.where(0, mean);
  const longest = c.trained.eq(c.trained.maxOver(c.group));
  const single = longest.mul(longest.sumOver(c.group).eq(1));
  const second = longest.where(0, c.trained).maxOver(c.group);
  const past = place.ge(second).mul(single);
  return past.max(alone).where(0, mean);
}
