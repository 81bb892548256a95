/**
 * @file The metrics of a step: the same keys in every recipe, named as in TRL's GRPO trainer, so that curves of
 * different trainers can be laid over each other.
 */

import { CohortError } from "./errors.ts";
import { maximum, mean, minimum, type Numbers, standardDeviation } from "./statistics.ts";

/** A measured number; null where there was nothing to measure. Never NaN or infinite. */
export type Metric = number | null;

/** One line of metrics.jsonl. Lengths in tokens; entropy, kl and log-probability differences in nats. */
export interface StepMetrics extends Partial<DataMetrics> {
  /** steps done, from 1 */
  step: number;
  reward: Metric;
  /** mean over groups of the standard deviation inside the group (n − 1) */
  reward_std: Metric;
  /** share of groups in which all rewards are equal: they teach nothing */
  frac_reward_zero_std: Metric;
  [perReward: `rewards/${string}/mean` | `rewards/${string}/std`]: Metric;
  "completions/mean_length": Metric;
  "completions/min_length": Metric;
  "completions/max_length": Metric;
  /** over completions that ended by themselves */
  "completions/mean_terminated_length": Metric;
  "completions/min_terminated_length": Metric;
  "completions/max_terminated_length": Metric;
  /** share of completions cut at maxTokens */
  "completions/clipped_ratio": Metric;
  entropy: Metric;
  kl: Metric;
  "clip_ratio/low_mean": Metric;
  "clip_ratio/low_min": Metric;
  "clip_ratio/high_mean": Metric;
  "clip_ratio/high_max": Metric;
  "clip_ratio/region_mean": Metric;
  loss: Metric;
  grad_norm: Metric;
  learning_rate: Metric;
  /** tokens of prompts and completions so far in the run */
  num_tokens: Metric;
  /** seconds */
  step_time: Metric;
  /** prompt and completion tokens of the step over its time */
  tokens_per_second: Metric;
  "sampling/sampling_logp_difference/mean": Metric;
  "sampling/sampling_logp_difference/max": Metric;
  "sampling/importance_sampling_ratio/min": Metric;
  "sampling/importance_sampling_ratio/mean": Metric;
  "sampling/importance_sampling_ratio/max": Metric;
  /** 16 hexadecimal digits: the weights after the step */
  digest: string;
}

/** What lines of a run on a data set have beside these, named as in TRL's DPO and reward trainers. */
export interface DataMetrics {
  /** passes over the data set so far */
  epoch: Metric;
  /** beta · Σ (lp − lp_ref), mean over chosen (good) completions; without a reference, beta · mean lp */
  "rewards/chosen": Metric;
  "rewards/rejected": Metric;
  /** chosen − rejected */
  "rewards/margins": Metric;
  /** share of pairs whose chosen completion has the higher reward */
  "rewards/accuracies": Metric;
  /** Σ lp, mean over chosen completions, nats */
  "logps/chosen": Metric;
  "logps/rejected": Metric;
  /** of a reward model's scores: share of pairs in the right order, mean difference, least, mean and largest */
  accuracy: Metric;
  margin: Metric;
  min_reward: Metric;
  mean_reward: Metric;
  max_reward: Metric;
}

/** The numbers of a run on a data set that people watch, in the order in which they are shown. */
export const dataKeys = [
  "loss",
  "rewards/accuracies",
  "rewards/margins",
  "rewards/chosen",
  "rewards/rejected",
  "logps/chosen",
  "logps/rejected",
  "accuracy",
  "margin",
  "mean_reward",
  "entropy",
] as const satisfies readonly (keyof DataMetrics | keyof StepMetrics)[];

/** The keys that every line has, in the order in which they are written. */
export const metricKeys = [
  "step",
  "reward",
  "reward_std",
  "frac_reward_zero_std",
  "completions/mean_length",
  "completions/min_length",
  "completions/max_length",
  "completions/mean_terminated_length",
  "completions/min_terminated_length",
  "completions/max_terminated_length",
  "completions/clipped_ratio",
  "entropy",
  "kl",
  "clip_ratio/low_mean",
  "clip_ratio/low_min",
  "clip_ratio/high_mean",
  "clip_ratio/high_max",
  "clip_ratio/region_mean",
  "loss",
  "grad_norm",
  "learning_rate",
  "num_tokens",
  "step_time",
  "tokens_per_second",
  "sampling/sampling_logp_difference/mean",
  "sampling/sampling_logp_difference/max",
  "sampling/importance_sampling_ratio/min",
  "sampling/importance_sampling_ratio/mean",
  "sampling/importance_sampling_ratio/max",
  "digest",
] as const satisfies readonly (keyof StepMetrics)[];

/** Metrics that differ between two equal runs; everything else is the run's. */
/** Said where groups of equal rewards are all there is. */
export const NOTHING_TO_LEARN =
  "no group had two different rewards; warm-start the model longer, raise the temperature, or give partial rewards";

export const timeKeys: readonly string[] = ["step_time", "tokens_per_second"];

/**
 * A complete record: keys that are not given are null, numbers that are not finite become null.
 * @throws CohortError("bad-input") where there is no step
 */
export function stepMetrics(given: Partial<StepMetrics> & { step: number }): StepMetrics {
  if (!Number.isInteger(given.step)) {
    throw new CohortError("bad-input", `stepMetrics: step is ${given.step}`, "give the number of steps done");
  }
  const record: Record<string, unknown> = Object.fromEntries(metricKeys.map((key) => [key, null]));
  record.digest = "";
  for (const [key, value] of Object.entries(given)) {
    record[key] = typeof value === "number" && !Number.isFinite(value) ? null : (value ?? null);
  }
  return record as unknown as StepMetrics;
}

/** One line of JSON with its line end; a number that is not finite is written as null, never as NaN. */
export function jsonLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}

/**
 * `reward`, `reward_std`, `frac_reward_zero_std` and per-reward statistics of N trajectories.
 * @param total N weighted sums
 * @param rewards reward name → N numbers, NaN where not applicable
 * @param group N group ids, 0 upwards
 * @param scored false for trajectories that no reward applies to: left out of everything
 */
export function rewardMetrics(
  total: Numbers,
  rewards: Record<string, Numbers>,
  group: Numbers,
  scored?: readonly boolean[],
): Partial<StepMetrics> {
  const kept: number[] = [];
  const groups = new Map<number, number[]>();
  for (let i = 0; i < total.length; i++) {
    if (scored && !scored[i]) continue;
    kept.push(total[i]);
    const members = groups.get(group[i]);
    if (members) members.push(total[i]);
    else groups.set(group[i], [total[i]]);
  }
  const deviations = [...groups.values()].map((members) => standardDeviation(members));
  // Equality of the rewards themselves: a deviation computed from equal numbers may round to something above zero.
  const flat = [...groups.values()].filter((members) => members.every((r) => r === members[0])).length;
  const metrics: Partial<StepMetrics> = {
    reward: mean(kept),
    reward_std: mean(deviations),
    frac_reward_zero_std: groups.size > 0 ? flat / groups.size : null,
  };
  for (const [name, values] of Object.entries(rewards)) {
    const applied = Array.from(values).filter((value) => !Number.isNaN(value));
    metrics[`rewards/${name}/mean`] = mean(applied);
    metrics[`rewards/${name}/std`] = applied.length > 0 ? standardDeviation(applied) : null;
  }
  return metrics;
}

/**
 * `completions/*` of N completions.
 * @param lengths generated tokens of each, the stop token among them
 * @param terminated true where a stop token or character ended it, false where maxTokens did
 */
export function lengthMetrics(lengths: Numbers, terminated: readonly boolean[]): Partial<StepMetrics> {
  const ended = Array.from(lengths).filter((_, i) => terminated[i]);
  return {
    "completions/mean_length": mean(lengths),
    "completions/min_length": minimum(lengths),
    "completions/max_length": maximum(lengths),
    "completions/mean_terminated_length": mean(ended),
    "completions/min_terminated_length": minimum(ended),
    "completions/max_terminated_length": maximum(ended),
    "completions/clipped_ratio": lengths.length > 0 ? 1 - ended.length / lengths.length : null,
  };
}

/**
 * `sampling/*` of all trained tokens: how far the sampler's log-probabilities are from the trainer's. Zero and one on
 * policy, bit for bit.
 * @param difference |sampler − trainer| of each token, nats
 * @param ratio exp(trainer − sampler) of each token
 */
export function samplingMetrics(difference: Numbers, ratio: Numbers): Partial<StepMetrics> {
  return {
    "sampling/sampling_logp_difference/mean": mean(difference),
    "sampling/sampling_logp_difference/max": maximum(difference),
    "sampling/importance_sampling_ratio/min": minimum(ratio),
    "sampling/importance_sampling_ratio/mean": mean(ratio),
    "sampling/importance_sampling_ratio/max": maximum(ratio),
  };
}
