import { choice, defineRecipe, flag, number } from "../recipe.ts";
import { correction } from "../rl/mismatch.ts";

export default defineRecipe({
  id: "rc-is-seq",
  paper: {
    title: "When Speed Kills Stability: Demystifying RL Collapse from the Training-Inference Mismatch",
    source: "verl verl/trainer/ppo/rollout_corr_helper.py",
  },
  stage: ["objective"],
  describe: `An option: the truncated ratio of trainer to sampler of the whole trajectory as a weight of all its tokens, capped and
without a floor; the log clamped to ±20 after the sum. Reports the effective sample share, over tokens, of the weights
before they are normalised.`,
  formula: "w_i = min(exp(Σ_t m(lp_old − lp_rollout)), threshold); ess = 1/mean_m((w/mean_m w)²)",
  params: {
    level: choice("sequence", ["token", "sequence"], "one weight a token, or the product over the trajectory"),
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
