/**
 * @file Aggregations: from the losses of elements to the one number that is minimised.
 *
 * Numerators run over the kept tokens, denominators over the counted ones (Context.kept, .counted) of the whole batch of
 * the optimiser step; micro-batching comes after the derivative and changes nothing. Denominators are at least 1, so an
 * empty mask gives loss 0. A loss over a coarser level is spread over the tokens first.
 */
import type { Context } from "./context.ts";
import { ALL, type Level } from "./level.ts";
import type { Vec } from "./vec.ts";

/** What an aggregation reads of the context. */
export type Counting = Pick<Context, "kept" | "counted" | "token" | "trajectory" | "group" | "number">;

/** The same with a mask that only the current policy tells: tokens with `keep` 0 leave numerators and denominators. */
export function reduced(c: Context, keep: Vec): Counting {
  const { token, trajectory, group } = c;
  const number: Context["number"] = (value, level) => c.number(value, level);
  return { kept: c.kept.mul(keep), counted: c.counted.mul(keep), token, trajectory, group, number };
}

/** Σ m·ℓ / Σ m over the batch (DAPO's token mean). */
export function tokenMean(c: Counting, loss: Vec): Vec {
  return tokenSum(c, loss).div(c.counted.sumOver(ALL).max(1));
}

/** Σ w·x / (Σ w + eps) over the batch, for weights of one's own; 0 where they are all 0. */
export function meanWhere(x: Vec, weight: Vec, eps: number): Vec {
  return x.mul(weight).sumOver(ALL).div(weight.sumOver(ALL).add(eps));
}

/** Σ m·ℓ. */
export function tokenSum(c: Counting, loss: Vec): Vec {
  return loss.mul(c.kept).sumOver(ALL);
}

/** Which trajectories a mean over trajectories counts. */
export interface SequenceMean {
  /** Leave out trajectories without a counted token (verl, OpenRLHF) in place of counting all N (TRL). */
  nonEmpty?: boolean;
  /** A number in place of the count: the trajectories of the whole step, where the batch is a part of it. */
  count?: number | null;
}

function trajectories(c: Counting, { nonEmpty = false, count }: SequenceMean): Vec {
  if (count) return c.number(count);
  if (!nonEmpty) return c.number(Math.max(1, c.trajectory.size));
  return c.counted.sumOver(c.trajectory).gt(0).sumOver(ALL).max(1);
}

/** (1/N) Σ_i Σ_t m·ℓ / Σ_t m (GRPO). An all-masked trajectory adds 0 and still counts in N. */
export function seqMeanTokenMean(c: Counting, loss: Vec, options: SequenceMean = {}): Vec {
  const counts = c.counted.sumOver(c.trajectory).max(1);
  return loss.mul(c.kept).sumOver(c.trajectory).div(counts).sumOver(ALL).div(trajectories(c, options));
}

/** (1/N) Σ_i Σ_t m·ℓ. */
export function seqMeanTokenSum(c: Counting, loss: Vec, options: SequenceMean = {}): Vec {
  return tokenSum(c, loss).div(trajectories(c, options));
}

/** Σ m·ℓ / (N·maxLength), maxLength a constant of the run (Dr. GRPO). */
export function seqMeanTokenSumNorm(c: Counting, loss: Vec, maxLength: number, options: SequenceMean = {}): Vec {
  return seqMeanTokenSum(c, loss, options).div(maxLength);
}

/** Mean over the groups that have a counted token of their token means. */
export function groupMeanTokenMean(c: Counting, loss: Vec): Vec {
  const counts = c.counted.sumOver(c.group);
  return loss.mul(c.kept).sumOver(c.group).div(counts.max(1)).sumOver(ALL).div(counts.gt(0).sumOver(ALL).max(1));
}

/** (1/N) Σ_i ℓ_i of a loss over trajectories, all-masked ones included with whatever ℓ they have. */
export function trajectoryMean(c: Counting, loss: Vec): Vec {
  return loss.to(c.trajectory).sumOver(ALL).div(Math.max(1, c.trajectory.size));
}

/** Mean over the tokens of each element of the first level, then over these in each of the next, and so on up to the batch. */
export function nestedMean(c: Context, loss: Vec, first: Level, ...levels: Level[]): Vec {
  let mean = loss.mul(c.kept).sumOver(first).div(c.counted.sumOver(first).max(1));
  for (const level of [...levels, ALL]) mean = mean.meanOver(level);
  return mean;
}

/**
 * Each group's token mean over its trajectories of positive advantage and that over those of negative advantage, weighted
 * by how many trajectories are on either side and divided by the group's size (arXiv 2605.04077). Over groups.
 */
export function balancedGroupMean(c: Context, loss: Vec, advantage: Vec): Vec {
  const side = (where: Vec): Vec => {
    const tokens = where.mul(c.counted).sumOver(c.group).max(1);
    return where.sumOver(c.group).mul(loss.mul(c.kept).mul(where).sumOver(c.group)).div(tokens);
  };
  const both = side(advantage.gt(0)).add(side(advantage.lt(0)));
  return both.div(c.number(1, c.trajectory).sumOver(c.group));
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

/**
 * The aggregation of that name.
 *
 * @param maxLength divisor of seq-mean-token-sum-norm; null: the longest trajectory of the batch, with which the loss varies
 */
export function aggregate(
  c: Counting,
  loss: Vec,
  name: Aggregation,
  { maxLength, ...options }: SequenceMean & Pick<StepTotals, "maxLength"> = {},
): Vec {
  if (name === "token-mean") return tokenMean(c, loss);
  if (name === "token-sum") return tokenSum(c, loss);
  if (name === "seq-mean-token-mean") return seqMeanTokenMean(c, loss, options);
  if (name === "seq-mean-token-sum") return seqMeanTokenSum(c, loss, options);
  if (name === "seq-mean-token-sum-norm") {
    const longest = c.number(1, c.token).sumOver(c.trajectory).maxOver(ALL).max(1);
    return seqMeanTokenSum(c, loss, options).div(maxLength ?? longest);
  }
  return groupMeanTokenMean(c, loss);
}

/** Totals of the whole optimiser step, for a batch that is only a part of it. */
export interface StepTotals {
  /** In place of the batch's trained tokens. */
  tokens?: number | null;
  /** In place of the batch's trajectories with a trained token. */
  sequences?: number | null;
  /** Divisor of seq-mean-token-sum-norm; null: the longest trajectory of the batch, with which the loss varies. */
  maxLength?: number | null;
}

/** The aggregation of that name as verl has it: trajectories without a trained token are not counted (`agg_loss`). */
export function aggLoss(
  c: Counting,
  loss: Vec,
  name: Aggregation,
  { tokens, sequences, maxLength }: StepTotals = {},
): Vec {
  const counting: SequenceMean = { nonEmpty: true, count: sequences };
  if (name === "token-mean" && tokens) return tokenSum(c, loss).div(tokens);
  return aggregate(c, loss, name, { ...counting, maxLength });
}
