import { defineRecipe, none, number, optional } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";

export default defineRecipe({
  id: "tis-token",
  paper: { title: "Your Efficient RL Framework Secretly Brings You Off-Policy RL Training" },
  stage: ["objective"],
  describe: `DAPO's objective, each token weighted by the truncated ratio of the recomputed log-probability to the one the
sampler reported: corrects for an inference engine that is not the trainer. No gradient; the divisor stays Σ m.`,
  formula: "w_t = clip(exp(lp_old − lp_rollout), c_min, c_max); loss = Σ m·w·ℓ / Σ m",
  params: {
    c_min: optional(null, "lower bound of the weight; null: none", { min: 0 }),
    c_max: optional(3, "upper bound of the weight; null: none", { min: 0 }),
    eps_hi: number(0.28, "clip range above 1", { min: 0 }),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
  },
  weight: (c, p) => c.logpOld.sub(c.logpRollout).exp().clamp(p.c_min, p.c_max).mul(c.mask),
  kl: none,
  aggregate: tokenMean,
});
