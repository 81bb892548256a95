import type { RewardSpec, Row } from "../rewards/index.ts";
import type { Stream } from "../rng.ts";
import type { TaskSource } from "../tasks/index.ts";
import { defineDemo } from "./lib/demo.ts";
import { draws } from "./lib/tabular.ts";
import { average, type Derivatives, sorting, trainTiny } from "./lib/transformer.ts";
import { baselineBetween, between, lower, noWorse } from "./lib/verdict.ts";

const [LONGEST, GROUP] = [8, 8];

const ARMS: Record<string, Record<string, unknown>> = {
  "token mean": { recipe: "grpo", aggregate: "token-mean" },
  "balanced-aggregation": { recipe: "balanced-aggregation" },
  "sequence mean": { recipe: "grpo" },
};

/**
 * Up to 8 points, then a verdict, of which "+" is right: "3>....+". The supervised examples are right from 10 to 90 % of the
 * time, by how many points they have: the more the better, or the fewer. Right answers can be had at any length.
 */
function task(better: "long" | "short"): TaskSource & { alphabet: string } {
  const right = (completion: string) => /^\.*\+$/.test(completion);
  const problem = (random: Stream): Row => {
    const points = random.below(LONGEST + 1);
    const share = (better === "long" ? points : LONGEST - points) / LONGEST;
    const answer = random.uniform() < 0.1 + 0.8 * share ? "+" : "-";
    return { prompt: `${random.pick("0123456789")}>`, shown: `${".".repeat(points)}${answer}` };
  };
  const lengthWhere = (name: string, wanted: boolean): RewardSpec => ({
    name,
    weight: 0,
    fn: (s) => (right(s.completion) === wanted ? s.completionIds.length : null),
  });
  return {
    name: "verdict",
    alphabet: "0123456789.>+-\n",
    stopCharacter: "\n",
    rewards: [
      { name: "correct", weight: 1, fn: (s) => Number(right(s.completion)) },
      lengthWhere("right", true),
      lengthWhere("wrong", false),
    ],
    isRight: (scores) => scores.correct === 1,
    prompts: (split, n, seed, start = 0) =>
      Array.from({ length: n }, (_, k) => problem(draws(seed, start + k, split === "train" ? 0 : 1))),
    supervised: (row) => String(row.shown),
  };
}

/** How far the two sides' weights in any group are from cancelling, at ratio 1: |Σ dlogp| over its tokens. */
function imbalance({ dlogp, lengths }: Derivatives): number {
  let [at, most] = [0, 0];
  for (let g = 0; g < lengths.length; g += GROUP) {
    const tokens = lengths.slice(g, g + GROUP).reduce((a, b) => a + b, 0);
    most = Math.max(most, Math.abs(dlogp.subarray(at, at + tokens).reduce((a, b) => a + b, 0)));
    at += tokens;
  }
  return most;
}

export default defineDemo({
  id: "balanced-aggregation",
  claim:
    "Averaging tokens inside the right and the wrong side apart removes the length bias of the token mean and of the sequence mean, at no loss of accuracy.",
  task: "Transformer of one layer that gives a right or wrong verdict after up to 8 points; supervised first on examples of which in one variant the long ones are right more often, in the other the short ones. 50 steps of 12 prompts × 8 rollouts each.",
  baseline: "token mean",
  system: "balanced-aggregation",
  others: ["sequence mean"],
  seeds: 5,
  measures: [
    { name: "|length drift|, mean of both variants", claim: lower() },
    { name: "|length drift|, mean of both variants", against: "sequence mean", claim: lower() },
    { name: "length drift, right ones long", claim: baselineBetween(0, Number.POSITIVE_INFINITY) },
    { name: "length drift, right ones short", claim: baselineBetween(Number.NEGATIVE_INFINITY, 0) },
    { name: "length drift, right ones short", of: "sequence mean", claim: between(Number.NEGATIVE_INFINITY, 0) },
    { name: "pass@1 after, mean of both variants", claim: noWorse(0.01) },
    { name: "pass@1 after, mean of both variants", against: "sequence mean", claim: noWorse(0.01) },
    { name: "imbalance of the sides, most", claim: between(0, 1e-12) },
    { name: "right over wrong length at first, right ones long" },
    { name: "right over wrong length at first, right ones short" },
  ],
  async measure(arm, seed, lab) {
    let worst = 0;
    const variant = async (better: "long" | "short") => {
      const size = { promptsPerStep: 12, rolloutsPerPrompt: GROUP, steps: 50, maxTokens: LONGEST + 2 };
      const { metrics, before, after } = await trainTiny(
        lab,
        { ...sorting, ...size, ...ARMS[arm], seed },
        {
          task: task(better),
          onDerivative(given) {
            worst = Math.max(worst, imbalance(given));
          },
        },
      );
      const length = "completions/mean_length";
      const first = metrics.slice(0, 5);
      return {
        drift: (after?.[length] ?? Number.NaN) - (before?.[length] ?? Number.NaN),
        pass: after?.["pass@1"] ?? Number.NaN,
        gap: average(first, "rewards/right/mean") - average(first, "rewards/wrong/mean"),
      };
    };
    const [long, short] = [await variant("long"), await variant("short")];
    return {
      "|length drift|, mean of both variants": (Math.abs(long.drift) + Math.abs(short.drift)) / 2,
      "length drift, right ones long": long.drift,
      "length drift, right ones short": short.drift,
      "pass@1 after, mean of both variants": (long.pass + short.pass) / 2,
      "imbalance of the sides, most": worst,
      "right over wrong length at first, right ones long": long.gap,
      "right over wrong length at first, right ones short": short.gap,
    };
  },
});
