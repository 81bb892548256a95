import { defineRecipe } from "../recipe.ts";
import { centred } from "../rl/baseline.ts";

export default defineRecipe({
  id: "max-rl",
  paper: {
    title: "Maximum likelihood reinforcement learning (arXiv 2602.02710)",
    source: "prime-rl src/prime_rl/orchestrator/algo/max_rl.py",
  },
  stage: ["advantage"],
  describe: `The centred reward is divided by the group's mean and not its deviation: success rates enter by their logarithm,
so that a prompt solved once in eight weighs four times one solved every other time. For rewards of 0 or more; a group
whose mean is not positive has advantage 0. The rest is plain GRPO.`,
  formula: "A_i = (R_i − mean_g)/mean_g, 0 where mean_g ≤ 0",
  params: {},
  advantage: (c) => {
    const mean = c.reward.meanOver(c.group);
    return mean.gt(0).where(centred(c.reward, c.group).div(mean), 0);
  },
});
