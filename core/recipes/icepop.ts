import { anything, choice, defineRecipe, flag } from "../recipe.ts";
import { correction, parseBand, zeroOutside } from "../rl/mismatch.ts";

export default defineRecipe({
  id: "icepop",
  paper: {
    title: "Every Step Evolves: Scaling Reinforcement Learning for Trillion-Scale Thinking Model",
    source: "verl rollout_corr_helper.py; OpenRLHF loss.py; slime slime/backends/megatron_utils/loss.py",
  },
  stage: ["objective"],
  describe: `An option: the ratio of trainer to sampler as a weight of each token, and 0 outside a band: what has drifted either way
is dropped in place of truncated. Log-ratios clamped to ±20; dropped tokens stay in the divisors. Reports the effective
sample share, zeros included.`,
  formula: "w_t = exp(lp_old − lp_rollout) if lo ≤ w_t ≤ hi, else 0",
  params: {
    level: choice("token", ["token", "sequence"], "one weight a token, or the product over the trajectory"),
    threshold: anything<string>("0.5_5.0", "the band as 'lo_hi'"),
    batch_normalize: flag(false, "divide by the mean weight of the batch's trained tokens (of its trajectories)"),
  },
  option: true,
  weight: (c, p) => {
    const [lo, hi] = parseBand(p.threshold);
    const { weight, ess } = correction(c, {
      level: p.level,
      bound: (w) => zeroOutside(w, lo, hi),
      normalize: p.batch_normalize,
    });
    c.output("ess", ess);
    return weight;
  },
});
