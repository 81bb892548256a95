/**
 * @file Aggregations: from the losses of elements to the one number that is minimised.
 *
 * Numerators run over the kept tokens, denominators over the counted ones (Context.kept, .counted) of the whole batch of
 * the optimiser step; micro-batching comes after the derivative and changes nothing. Denominators are at least 1, so an
 * empty mask gives loss 0. A loss over a coarser level is spread over the tokens first.
 */
import type { Context } from "./context.ts";
import { ALL } from "./level.ts";
import type { Vec } from "./vec.ts";

/** Σ m·ℓ / Σ m over the batch (DAPO's token mean). */
export function tokenMean(c: Context, loss: Vec): Vec {
  return tokenSum(c, loss).div(c.counted.sumOver(ALL).max(1));
}

/** Σ m·ℓ. */
export function tokenSum(c: Context, loss: Vec): Vec {
  return loss.mul(c.kept).sumOver(ALL);
}

/** Which trajectories a mean over trajectories counts. */
export interface SequenceMean {
  /** Leave out trajectories without a counted token (verl, OpenRLHF) in place of counting all N (TRL). */
  nonEmpty?: boolean;
}

function trajectories(c: Context, { nonEmpty = false }: SequenceMean): Vec {
  if (!nonEmpty) return c.number(Math.max(1, c.trajectory.size));
  return c.counted.sumOver(c.trajectory).gt(0).sumOver(ALL).max(1);
}

/** (1/N) Σ_i Σ_t m·ℓ / Σ_t m (GRPO). An all-masked trajectory adds 0 and still counts in N. */
export function seqMeanTokenMean(c: Context, loss: Vec, options: SequenceMean = {}): Vec {
  const counts = c.counted.sumOver(c.trajectory).max(1);
  return loss.mul(c.kept).sumOver(c.trajectory).div(counts).sumOver(ALL).div(trajectories(c, options));
}

/** (1/N) Σ_i Σ_t m·ℓ. */
export function seqMeanTokenSum(c: Context, loss: Vec, options: SequenceMean = {}): Vec {
  return tokenSum(c, loss).div(trajectories(c, options));
}

/** Σ m·ℓ / (N·maxLength), maxLength a constant of the run (Dr. GRPO). */
export function seqMeanTokenSumNorm(c: Context, loss: Vec, maxLength: number, options: SequenceMean = {}): Vec {
  return seqMeanTokenSum(c, loss, options).div(maxLength);
}

/** Mean over the groups that have a counted token of their token means. */
export function groupMeanTokenMean(c: Context, loss: Vec): Vec {
  const counts = c.counted.sumOver(c.group);
  return loss.mul(c.kept).sumOver(c.group).div(counts.max(1)).sumOver(ALL).div(counts.gt(0).sumOver(ALL).max(1));
}

/** (1/N) Σ_i ℓ_i of a loss over trajectories, all-masked ones included with whatever ℓ they have. */
export function trajectoryMean(c: Context, loss: Vec): Vec {
  return loss.to(c.trajectory).sumOver(ALL).div(Math.max(1, c.trajectory.size));
}

export const AGGREGATIONS = [
  "token-mean",
  "token-sum",
  "seq-mean-token-mean",
  "seq-mean-token-sum",
  "seq-mean-token-sum-norm",
  "group-token-mean",
] as const;

export type Aggregation = (typeof AGGREGATIONS)[number];

/** The aggregation of that name; `maxLength` is read by seq-mean-token-sum-norm alone. */
export function aggregate(
  c: Context,
  loss: Vec,
  name: Aggregation,
  { maxLength = 1, ...options }: SequenceMean & { maxLength?: number } = {},
): Vec {
  if (name === "token-mean") return tokenMean(c, loss);
  if (name === "token-sum") return tokenSum(c, loss);
  if (name === "seq-mean-token-mean") return seqMeanTokenMean(c, loss, options);
  if (name === "seq-mean-token-sum") return seqMeanTokenSum(c, loss, options);
  if (name === "seq-mean-token-sum-norm") return seqMeanTokenSumNorm(c, loss, maxLength, options);
  return groupMeanTokenMean(c, loss);
}
