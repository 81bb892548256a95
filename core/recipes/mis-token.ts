import { defineRecipe, none, number, optional } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { mismatchRatio, zeroOutside } from "../rl/mismatch.ts";

export default defineRecipe({
  id: "mis-token",
  paper: {
    title: "When Speed Kills Stability: Demystifying RL Collapse from the Training-Inference Mismatch",
    source: "TRL trl/trainer/grpo_trainer.py (vllm_importance_sampling_mode)",
  },
  stage: ["objective"],
  describe: `DAPO's objective, each token weighted by the ratio of trainer to sampler, and 0 where that is out of bounds: what has
drifted too far is dropped, not truncated. No gradient; the divisor stays Σ m.`,
  formula: "w_t = exp(lp_old − lp_rollout) if c_min ≤ w_t ≤ c_max, else 0; loss = Σ m·w·ℓ / Σ m",
  params: {
    c_min: optional(null, "weights are set to 0 below; null: open", { min: 0 }),
    c_max: optional(3, "weights are set to 0 above; null: open", { min: 0 }),
    eps_hi: number(0.28, "clip range above 1", { min: 0 }),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
  },
  weight: (c, p) => zeroOutside(mismatchRatio(c, "token"), p.c_min, p.c_max).mul(c.mask),
  kl: none,
  aggregate: tokenMean,
});
