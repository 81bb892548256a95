import { expect, test } from "vitest";
import { jsonLine, lengthMetrics, metricKeys, rewardMetrics, samplingMetrics, stepMetrics } from "../core/log.ts";

test("a record has every key, and nothing that is not finite", () => {
  const record = stepMetrics({
    step: 3,
    loss: Number.NaN,
    kl: Number.POSITIVE_INFINITY,
    reward: 0.5,
    "rewards/a/mean": 1,
  });
  for (const key of metricKeys) expect(record).toHaveProperty([key]);
  const line = jsonLine(record);
  expect(line).not.toMatch(/NaN|Infinity/);
  expect(line.endsWith("}\n")).toBe(true);
  expect(JSON.parse(line)).toMatchObject({
    step: 3,
    loss: null,
    kl: null,
    reward: 0.5,
    entropy: null,
    "rewards/a/mean": 1,
  });
  expect(() => stepMetrics({ step: Number.NaN })).toThrow(/step is NaN/);
});

test("reward statistics by group, with unscored samples and rewards that do not apply left out", () => {
  const metrics = rewardMetrics(
    Float64Array.of(1, 3, 0.1, 0.1, 0.1, 99),
    {
      a: Float64Array.of(1, 3, Number.NaN, Number.NaN, Number.NaN, Number.NaN),
      none: new Float64Array(6).fill(Number.NaN),
    },
    [0, 0, 1, 1, 1, 1],
    [true, true, true, true, true, false],
  );
  expect(metrics.reward).toBeCloseTo(4.3 / 5, 12);
  expect(metrics.reward_std).toBeCloseTo(Math.SQRT2 / 2, 12);
  expect(metrics.frac_reward_zero_std).toBe(0.5);
  expect(metrics["rewards/a/mean"]).toBe(2);
  expect(metrics["rewards/a/std"]).toBeCloseTo(Math.SQRT2, 12);
  expect(metrics["rewards/none/mean"]).toBeNull();
});

test("length statistics", () => {
  expect(lengthMetrics([2, 4, 9], [true, true, false])).toEqual({
    "completions/mean_length": 5,
    "completions/min_length": 2,
    "completions/max_length": 9,
    "completions/mean_terminated_length": 3,
    "completions/min_terminated_length": 2,
    "completions/max_terminated_length": 4,
    "completions/clipped_ratio": 1 - 2 / 3,
  });
  expect(lengthMetrics([5], [false])).toMatchObject({
    "completions/mean_terminated_length": null,
    "completions/clipped_ratio": 1,
  });
  expect(lengthMetrics([], [])).toMatchObject({ "completions/mean_length": null, "completions/clipped_ratio": null });
});

test("sampling statistics on policy", () => {
  expect(samplingMetrics([0, 0], [1, 1])).toEqual({
    "sampling/sampling_logp_difference/mean": 0,
    "sampling/sampling_logp_difference/max": 0,
    "sampling/importance_sampling_ratio/min": 1,
    "sampling/importance_sampling_ratio/mean": 1,
    "sampling/importance_sampling_ratio/max": 1,
  });
});
