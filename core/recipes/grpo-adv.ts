import { defineRecipe, flag, number } from "../recipe.ts";
import { centred, keepSingles, zScore } from "../rl/baseline.ts";

export default defineRecipe({
  id: "grpo-adv",
  paper: {
    title: "DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language Models",
    source: "verl verl/trainer/ppo/core_algos.py (compute_grpo_outcome_advantage)",
  },
  stage: ["advantage"],
  describe: `GRPO's advantage as verl computes it, for groups of any size: a group of one has mean 0 and deviation 1, so it
keeps its reward (TRL: 0). With or without division by the group's deviation. The rest is plain GRPO.`,
  formula: "A_i = (R_i − mean_g)/(std_g + eps_std), or R_i − mean_g; n − 1",
  params: {
    eps_std: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    std: flag(true, "divide by the group's deviation"),
  },
  advantage: (c, p) => {
    const { reward, group } = c;
    const weight = c.optional("reward.present");
    if (p.std) return zScore(reward, group, { eps: p.eps_std, rawSingles: true, weight });
    return keepSingles(reward, group, centred(reward, group, weight), weight);
  },
});
