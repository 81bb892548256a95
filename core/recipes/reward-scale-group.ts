import { defineRecipe, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";

export default defineRecipe({
  id: "reward-scale-group",
  paper: { title: "TRL scale_rewards", source: "TRL trl/trainer/grpo_trainer.py (scale_rewards)" },
  stage: ["advantage"],
  describe: `The advantage of plain GRPO by TRL's name for it: the z-score inside the group. Missing rewards leave the moments
and have advantage 0; so has a group of one, or with one reward there.`,
  formula: "A_i = (R_i − mean_g)/(std_g + eps_std), n − 1",
  params: { eps_std: number(1e-4, "added to the group's standard deviation", { min: 0 }) },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.eps_std, weight: c.optional("reward.present") }),
});
