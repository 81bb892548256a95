import { defineRecipe, number } from "../recipe.ts";
import { centred } from "../rl/baseline.ts";

export default defineRecipe({
  id: "reward-scale-none",
  paper: { title: "TRL scale_rewards", source: "TRL trl/trainer/grpo_trainer.py (scale_rewards)" },
  stage: ["advantage"],
  describe: `The group's mean is subtracted and nothing divides, so that a prompt counts by the spread of its rewards. Missing
rewards leave the mean and have advantage 0; so has a group of one.`,
  formula: "A_i = R_i − mean_g",
  params: { eps_std: number(1e-4, "of the other scalings; not read here", { min: 0 }) },
  advantage: (c) => centred(c.reward, c.group, c.optional("reward.present")),
});
