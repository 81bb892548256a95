import { loadRecipe } from "../recipe.ts";
import { exp, log } from "../rl/scalar.ts";
import { standardDeviation } from "../statistics.ts";
import { defineDemo } from "./lib/demo.ts";
import { Learner } from "./lib/learner.ts";
import { draws, normal, Tabular } from "./lib/tabular.ts";
import { average, sorting, trainTiny } from "./lib/transformer.ts";
import { between, lower, noWorse } from "./lib/verdict.ts";

const [LONG, V, MOVE] = [64, 8, 0.15];

/**
 * Spread of the prefix weights of the last of 64 tokens on a policy that has moved by N(0, 0.15²) a logit: log10 of their
 * variance, of minpro's weight or of the product that it stands for.
 */
async function logVariance(arm: string, seed: number): Promise<number> {
  const policy = new Tabular({ prompts: 1, vocabulary: V, positions: LONG });
  const random = draws(seed, 0, 1);
  for (let k = 0; k < policy.logits.length; k++) policy.logits[k] = normal(random);
  const rollouts = Array.from({ length: 512 }, () => policy.rollout(0, random));
  for (let k = 0; k < policy.logits.length; k++) policy.logits[k] += MOVE * normal(random);
  const recipe = await loadRecipe("minpro");
  const learner = new Learner({ policy, reward: () => 0, recipe, learningRate: 0, seed });
  const { steps } = learner.learn(
    rollouts,
    rollouts.map(() => 0),
  );
  const weights =
    arm === "minpro"
      ? (steps[0].outputs.weight as { data: Float64Array }).data.filter((_, k) => k % LONG === LONG - 1)
      : rollouts.map((r) => {
          const now = policy.score(0, r.tokens).logp;

          let sum = 0;
          for (let t = 0; t < LONG - 1; t++) sum += now[t] - r.logp[t];
          return exp(sum);
        });
  return log(standardDeviation(weights)) / (0.5 * log(10));
}

export default defineDemo({
  id: "minpro",
  claim:
    "On very stale rollouts the smallest earlier ratio, as a weight with little variance, keeps training from collapsing.",
  task: "Transformer of one layer sorting three letters, after 200 supervised steps; 40 steps of 16 prompts × 8 rollouts, in 16 optimiser steps (the last 15 updates old) or 8. Weights: 512 texts of 64 tokens on a moved tabular policy; the baseline's is the product of all earlier ratios.",
  baseline: "grpo",
  system: "minpro",
  others: ["cispo", "gspo"],
  seeds: 5,
  measures: [
    { name: "reward, last tenth over best tenth, 16 updates", claim: between(0.8, Number.POSITIVE_INFINITY) },
    { name: "reward, last tenth, 16 updates", claim: noWorse(0.02) },
    { name: "reward, last tenth, 16 updates", against: "cispo", claim: noWorse(0.02) },
    { name: "reward, last tenth, 16 updates", against: "gspo", claim: noWorse(0.02) },
    { name: "reward, last tenth, 8 updates" },
    { name: "log10 variance of prefix weights, 64 tokens", claim: lower(2) },
  ],
  async measure(arm, seed, lab) {
    const keys = { ...sorting, recipe: arm, seed, steps: 40, evalPrompts: 0 };
    const sixteen = await trainTiny(lab, { ...keys, miniBatches: 16 });
    const eight = await trainTiny(lab, { ...keys, miniBatches: 8 });
    const best = Math.max(
      ...sixteen.metrics.slice(3).map((_, k) => average(sixteen.metrics.slice(k, k + 4), "reward")),
    );
    const last = average(sixteen.metrics, "reward", 4);
    return {
      "reward, last tenth over best tenth, 16 updates": last / best,
      "reward, last tenth, 16 updates": last,
      "reward, last tenth, 8 updates": average(eight.metrics, "reward", 4),
      "log10 variance of prefix weights, 64 tokens": await logVariance(arm, seed),
    };
  },
});
