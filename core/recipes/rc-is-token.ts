import { choice, defineRecipe, flag, number } from "../recipe.ts";
import { correction } from "../rl/mismatch.ts";

export default defineRecipe({
  id: "rc-is-token",
  paper: {
    title: "When Speed Kills Stability: Demystifying RL Collapse from the Training-Inference Mismatch",
    source: "verl verl/trainer/ppo/rollout_corr_helper.py",
  },
  stage: ["objective"],
  describe: `An option: the truncated ratio of trainer to sampler as a weight of each token, capped and without a floor; log-ratios
clamped to ±20. Reports the effective sample share of the weights before they are normalised.`,
  formula: "w_t = min(exp(lp_old − lp_rollout), threshold); ess = 1/mean_m((w/mean_m w)²)",
  params: {
    level: choice("token", ["token", "sequence"], "one weight a token, or the product over the trajectory"),
    threshold: number(2, "largest weight", { min: 0 }),
    batch_normalize: flag(false, "divide by the mean weight of the batch's trained tokens (of its trajectories)"),
  },
  option: true,
  weight: (c, p) => {
    const { weight, ess } = correction(c, {
      level: p.level,
      bound: (w) => w.min(p.threshold),
      normalize: p.batch_normalize,
    });
    c.output("ess", ess);
    return weight;
  },
});
