/**
 * @file The mismatch between sampler and trainer: weights, rejections and health numbers from L = lp − lp_rollout, where
 * lp_rollout is what the inference engine reported and lp what the trainer computes for the same tokens.
 *
 * Degenerate cases: weights are 0 where m = 0; log-ratios are clamped to ±20 first; without a trained token the effective
 * sample share is 0 and means are 0. Nothing here has a gradient. Source: verl `rollout_corr_helper.py`; TRL, AReaL and OpenRLHF ship the same ideas.
 */
import { CohortError } from "../errors.ts";
import type { Context } from "./context.ts";
import { ALL } from "./level.ts";
import { log } from "./scalar.ts";
import type { Vec } from "./vec.ts";

/** verl's clamp of log-ratios. */
const LIMIT = 20;

/** L = lp − lp_rollout of each token; lp is lp_old (the recomputed one) unless given. */
export function mismatch(c: Context, logp: Vec = c.logpOld): Vec {
  return logp.stop().sub(c.logpRollout);
}

/** Over trajectories: Σ_t m·x, its mean, or its largest over trained tokens; 0 where there are none. */
export function overSequence(c: Context, x: Vec, how: "sum" | "mean" | "max"): Vec {
  if (how === "sum") return c.mask.mul(x).sumOver(c.trajectory);
  if (how === "mean") return x.meanOver(c.trajectory, c.mask);
  const lowest = x.minOver(c.trajectory);
  return c.trained.gt(0).where(c.mask.where(x, lowest).maxOver(c.trajectory), 0);
}

/** w = exp(L) of each token, or exp(Σ_t m·L) of each trajectory. */
export function mismatchRatio(c: Context, level: "token" | "sequence"): Vec {
  return (level === "token" ? mismatch(c) : overSequence(c, mismatch(c), "sum")).exp();
}

/** x where lo ≤ x ≤ hi, else 0; a null bound is open. */
export function zeroOutside(x: Vec, lo: number | null, hi: number | null): Vec {
  return x.mul(x.inside(lo, hi));
}

export interface Correction {
  level: "token" | "sequence";
  /** What becomes of a weight out of range. */
  bound: (w: Vec) => Vec;
  /** Divide by the mean weight of the batch's trained tokens (or of its trajectories that have some). */
  normalize?: boolean;
}

/** verl's weights against the mismatch, over tokens and 0 where m = 0; and their effective sample share, in (0, 1]. */
export function correction(
  c: Context,
  { level, bound, normalize = false }: Correction,
  L: Vec = mismatch(c),
): { weight: Vec; ess: Vec } {
  const logWeight = level === "token" ? L : overSequence(c, L, "sum");
  const w = bound(logWeight.clamp(-LIMIT, LIMIT).exp());
  const share = w.div(w.to(c.token).meanOver(ALL, c.mask));
  const ess = c.number(1).div(share.to(c.token).square().meanOver(ALL, c.mask));
  const mean = w.meanOver(ALL, level === "token" ? c.mask : c.trained.gt(0));
  const weight = normalize ? w.div(mean.gt(1e-8).where(mean, 1)) : w;
  return { weight: weight.mul(c.mask), ess };
}

/** "lo_hi" as two numbers. */
export function parseBand(text: unknown): [number, number] {
  const parts = String(text).split("_").map(Number);
  if (parts.length === 2 && parts.every((x) => x >= 0) && parts[0] <= parts[1]) return parts as [number, number];
  throw new CohortError(
    "bad-config",
    `parseBand: threshold ${JSON.stringify(text)}`,
    "give 'lo_hi', such as '0.5_5.0'",
  );
}

/**
 * 1 on the tokens that pass every criterion, 0 elsewhere and where m = 0.
 *
 * @param criteria "level_estimator" joined by commas, such as "token_k1,seq_mean_k3"; null: all pass. Levels token,
 *   seq_sum, seq_mean, seq_max; k1 = −L, k2 = L²/2, k3 = e^L − 1 − L with L clamped to ±20
 * @param thresholds likewise, or one for all: for k1 "lo_hi" in ratios, a single h meaning [1/h, h]; else the largest value;
 *   null: all pass
 * @throws CohortError "bad-config" for an unknown criterion or a threshold that is none
 */
export function rejection(c: Context, criteria: unknown, thresholds: unknown, L: Vec = mismatch(c)): Vec {
  if (criteria === null || thresholds === null) return c.mask;
  const names = String(criteria).split(",");
  const limits = String(thresholds).split(",");
  if (limits.length !== 1 && limits.length !== names.length) {
    throw new CohortError(
      "bad-config",
      `rejection: ${limits.length} thresholds for ${names.length} criteria`,
      "give one threshold a criterion, or one for all",
    );
  }
  return names.reduce((keep, name, k) => keep.mul(passes(c, name.trim(), limits[k] ?? limits[0], L)), c.mask);
}

function passes(c: Context, name: string, limit: string, L: Vec): Vec {
  const [, level, estimator] = /^(token|seq_sum|seq_mean|seq_max)_(k[123])$/.exec(name) ?? [];
  if (level === undefined) {
    throw new CohortError(
      "bad-config",
      `rejection: there is no criterion '${name}'`,
      "give token, seq_sum, seq_mean or seq_max with _k1, _k2 or _k3, such as 'seq_mean_k1'",
    );
  }
  const d = L.clamp(-LIMIT, LIMIT);
  let k = d.neg();
  if (estimator === "k2") k = d.square().mul(0.5);
  if (estimator === "k3") k = d.exp().sub(1).sub(d);
  const x = level === "token" ? k : overSequence(c, k, level.slice("seq_".length) as "sum" | "mean" | "max");
  const single = Number(limit);
  if (limit.trim() !== "" && single >= 0) {
    return estimator === "k1" ? x.inside(-log(single), log(single)) : x.le(single);
  }
  const [lo, hi] = parseBand(limit);
  return estimator === "k1" ? x.inside(log(lo), log(hi)) : x.le(hi);
}

/** Health numbers of sampler against trainer; all 0 and ratios 1 where both compute the same. Means over trajectories of means over tokens. */
export function mismatchMetrics(c: Context): Record<string, Vec> {
  const L = mismatch(c);
  const tokens = (x: Vec): Vec => x.meanOver(ALL, c.mask);
  const each = (x: Vec): Vec => overSequence(c, x, "mean");
  const training = each(c.logpOld.neg());
  const rollout = each(c.logpRollout.neg());
  const diff = training.sub(rollout);
  const mean = (x: Vec): Vec => x.meanOver(ALL);
  return {
    kl: tokens(L.neg()),
    k3_kl: tokens(L.exp().sub(L).sub(1)),
    training_ppl: mean(training.exp()),
    training_log_ppl: mean(training),
    rollout_ppl: mean(rollout.exp()),
    rollout_log_ppl: mean(rollout),
    log_ppl_diff: mean(diff),
    log_ppl_abs_diff: mean(diff.abs()),
    log_ppl_diff_max: diff.maxOver(ALL),
    log_ppl_diff_min: diff.minOver(ALL),
    ppl_ratio: mean(diff.exp()),
    chi2_token: tokens(L.mul(2).exp()).sub(1),
    chi2_seq: mean(overSequence(c, L.mul(2), "sum").exp()).sub(1),
  };
}
