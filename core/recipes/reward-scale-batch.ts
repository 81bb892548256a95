import { defineRecipe, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";

export default defineRecipe({
  id: "reward-scale-batch",
  paper: {
    title: "Part I: Tricks or Traps? A Deep Dive into RL for LLM Reasoning",
    source: "TRL trl/trainer/grpo_trainer.py (scale_rewards)",
  },
  stage: ["advantage"],
  describe: `The group's mean, but the deviation of the whole batch: a prompt with one success in eight is no longer scaled up
against one with four. Missing rewards leave the moments and have advantage 0; so has a group of one.`,
  formula: "A_i = (R_i − mean_g)/(std_batch + eps_std), n − 1",
  params: { eps_std: number(1e-4, "added to the batch's standard deviation", { min: 0 }) },
  advantage: (c, p) =>
    zScore(c.reward, c.group, { eps: p.eps_std, scaleOver: c.all, weight: c.optional("reward.present") }),
});
