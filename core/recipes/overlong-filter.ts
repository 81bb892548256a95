import { choice, defineRecipe, none, number } from "../recipe.ts";
import { aggregate } from "../rl/aggregate.ts";

export default defineRecipe({
  id: "overlong-filter",
  paper: {
    title: "DAPO: An Open-Source LLM Reinforcement Learning System at Scale",
    source: "TRL trl/trainer/grpo_trainer.py (mask_truncated_completions)",
  },
  stage: ["filter", "objective"],
  describe: `Answers cut off by the length limit are masked out of the loss, so that they are not punished for what they might
have become, but still count in their group's mean and deviation. DAPO's objective; their tokens leave the divisor
(loss_type grpo: they still count in N).`,
  formula: "m ← m·[not truncated], after the advantages; loss = Σ m·ℓ / Σ m",
  params: {
    loss_type: choice("dapo", ["dapo", "grpo"], "token mean, or mean of the trajectories' means"),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.28, "clip range above 1", { min: 0 }),
  },
  filter: (c) => ({ keep: c.field("truncated").not(), leftOut: true }),
  kl: none,
  aggregate: (c, loss, p) => aggregate(c, loss, p.loss_type === "dapo" ? "token-mean" : "seq-mean-token-mean"),
});
