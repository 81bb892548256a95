import { defineRecipe, none, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { mismatch, mismatchRatio, overSequence } from "../rl/mismatch.ts";

export default defineRecipe({
  id: "seq-mask-tis",
  paper: {
    title: "When Speed Kills Stability: Demystifying RL Collapse from the Training-Inference Mismatch",
    source: "OpenRLHF openrlhf/models/loss.py; NeMo-RL nemo_rl/algorithms/loss/loss_functions.py",
  },
  stage: ["filter", "objective"],
  describe: `Trajectories whose geometric mean ratio of trainer to sampler leaves a narrow band are dropped; the tokens of the
others are weighted by their own ratio, not truncated. No gradient through either; token mean with dropped tokens in
the divisor, a wider clip above than below, no KL term.`,
  formula: "keep_i = lo ≤ exp(mean_t L) ≤ hi; w_t = exp(L_t), L = lp_old − lp_rollout; loss = Σ m·keep·w·ℓ / Σ m",
  params: {
    lo: number(0.999, "least geometric mean", { min: 0 }),
    hi: number(1.002, "largest", { min: 0 }),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.28, "clip range above 1", { min: 0 }),
  },
  filter: (c, p) => ({ keep: overSequence(c, mismatch(c), "mean").exp().inside(p.lo, p.hi) }),
  weight: (c) => mismatchRatio(c, "token").mul(c.mask),
  kl: none,
  aggregate: tokenMean,
});
