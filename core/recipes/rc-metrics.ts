import { defineRecipe } from "../recipe.ts";
import { mismatchMetrics } from "../rl/mismatch.ts";

export default defineRecipe({
  id: "rc-metrics",
  paper: {
    title: "When Speed Kills Stability: Demystifying RL Collapse from the Training-Inference Mismatch",
    source: "verl verl/trainer/ppo/rollout_corr_helper.py (compute_offpolicy_metrics)",
  },
  stage: ["objective"],
  describe: `Changes nothing and measures: KL and k3 between sampler and trainer, perplexities of both and their differences
by trajectory, and the χ² divergence by token and by trajectory. All are 0 and the ratio 1 where both are the same code.
Without a trained token the two χ² are −1, as in the code.`,
  formula: "kl = mean_m(−L); k3_kl = mean_m(exp(L) − L − 1); chi2 = mean(exp(2L)) − 1; L = lp_old − lp_rollout",
  params: {},
  trains: { refuse: "only measures a batch and has no loss: replay it, or train with another recipe" },
  outputs: (c) => {
    const metrics = Object.entries(mismatchMetrics(c));
    return { metrics: Object.fromEntries(metrics.map(([name, x]) => [name, x.value()])) };
  },
});
