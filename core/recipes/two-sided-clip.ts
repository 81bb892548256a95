import { defineRecipe, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { ppoClip } from "../rl/gate.ts";

export default defineRecipe({
  id: "two-sided-clip",
  paper: {
    title: "INTELLECT-2: A Reasoning Model Trained Through Globally Decentralized Reinforcement Learning",
    source: "TRL trl/trainer/grpo_trainer.py (delta)",
  },
  stage: ["objective"],
  describe: `DAPO's token mean with a cap on the unclipped ratio, which bounds the loss where the advantage is negative and
PPO does not: beyond delta the value is −delta·A and the gradient 0. For A > 0 nothing changes. Equal to the dual clip
with dual = delta.`,
  formula: "ℓ = −min(min(ρ, delta)·A, clip(ρ, 1−eps_lo, 1+eps_hi)·A), delta > 1 + eps_hi",
  params: {
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    delta: number(4, "cap of the ratio", { min: 1 }),
  },
  gate: (c, ratio, p) => ppoClip(c, ratio.min(p.delta), c.advantage, { lo: p.eps_lo, hi: p.eps_hi }),
  aggregate: tokenMean,
});
