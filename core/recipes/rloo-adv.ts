import { defineRecipe } from "../recipe.ts";
import { keepSingles, leaveOneOut } from "../rl/baseline.ts";

export default defineRecipe({
  id: "rloo-adv",
  paper: {
    title: "Back to Basics: Revisiting REINFORCE Style Optimization for Learning from Human Feedback in LLMs",
    source: "verl verl/trainer/ppo/core_algos.py (compute_rloo_outcome_advantage)",
  },
  stage: ["advantage"],
  describe: `The baseline is the mean of the group's other rewards, no deviation divides; the rest is plain GRPO. A quirk of
verl's loop version, followed here: a group of one keeps its reward (verl's vectorised version and TRL: 0).`,
  formula: "A_i = n/(n − 1)·(R_i − mean_g)",
  params: {},
  advantage: (c) => {
    const weight = c.optional("reward.present");
    return keepSingles(c.reward, c.group, leaveOneOut(c.reward, c.group, weight), weight);
  },
});
