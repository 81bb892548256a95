import { anything, defineRecipe, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";
import { weightedSum, weightsOf } from "../rl/reward.ts";

export default defineRecipe({
  id: "multi-reward-sum",
  paper: { title: "TRL multi-reward (sum_then_normalize)", source: "TRL trl/trainer/grpo_trainer.py" },
  stage: ["reward", "advantage"],
  describe: `Several rewards are weighted and summed, then normalised as one. A missing value leaves the sum; a rollout with
none at all has no reward, leaves its group's moments and has advantage 0. The rest is plain GRPO.`,
  formula: "R_i = Σ_k w_k r_{k,i}; A_i = (R_i − mean_g)/(std_g + eps_std)",
  params: {
    weights: anything<readonly number[] | null>(null, "one a reward, in the order of the rewards; null: 1 each"),
    eps_std: number(1e-4, "added to the group's standard deviation", { min: 0 }),
  },
  reward: (c, p) => {
    const { sum, present } = weightedSum(c, weightsOf(c, p.weights));
    return { reward: sum, present };
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.eps_std, weight: c.optional("reward.present") }),
});
