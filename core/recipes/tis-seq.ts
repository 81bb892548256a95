import { defineRecipe, none, number, optional } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { mismatchRatio } from "../rl/mismatch.ts";

export default defineRecipe({
  id: "tis-seq",
  paper: {
    title: "Your Efficient RL Framework Secretly Brings You Off-Policy RL Training",
    source: "TRL trl/trainer/grpo_trainer.py (vllm_importance_sampling_mode)",
  },
  stage: ["objective"],
  describe: `DAPO's objective, all tokens of a trajectory weighted by the truncated ratio of trainer to sampler over the whole
trajectory: unbiased but for the truncation, of high variance for long answers. No gradient; the divisor stays Σ m.`,
  formula: "w_i = clip(exp(Σ_t m(lp_old − lp_rollout)), c_min, c_max); loss = Σ m·w·ℓ / Σ m",
  params: {
    c_min: optional(null, "weights are clamped below; null: open", { min: 0 }),
    c_max: optional(3, "weights are clamped above; null: open", { min: 0 }),
    eps_hi: number(0.28, "clip range above 1", { min: 0 }),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
  },
  weight: (c, p) => mismatchRatio(c, "sequence").clamp(p.c_min, p.c_max),
  kl: none,
  aggregate: tokenMean,
});
