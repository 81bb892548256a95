import { anything, defineRecipe, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";
import { weightedSum, weightsOf } from "../rl/reward.ts";
import type { Vec } from "../rl/vec.ts";
export default defineRecipe({
  id: "multi-reward-norm-sum",
  paper: {
    title: "GDPO: Group reward-Decoupled Normalization Policy Optimization for Multi-reward RL Optimization",
    source: "TRL trl/trainer/grpo_trainer.py (normalize_then_sum)",
  },
  stage: ["reward", "advantage"],
  describe: `Each reward is z-scored in its group first, so that none drowns another; the weighted sum is z-scored over the
batch. Missing values as in multi-reward-sum; one value in a group counts 0. verl whitens the sum over tokens instead,
NeMo takes leave-one-out means and no epsilon. The rest is plain GRPO.`,
  formula:
    "S_i = Σ_k w_k (r_{k,i} − mean_{g,k})/(std_{g,k} + eps_std); A_i = (S_i − mean)/(std + eps_std) over the batch",
  params: {
    weights: anything<readonly number[] | null>(null, "one a reward, in the order of the rewards; null: 1 each"),
    eps_std: number(1e-4, "added to the deviations", { min: 0 }),
  },
  reward: (c, p) => {
    const each = (r: { value: Vec; present: Vec }): Vec =>
      zScore(r.value, c.group, { eps: p.eps_std, weight: r.present });
    const { sum, present } = weightedSum(c, weightsOf(c, p.weights), each);
    return { reward: sum, present };
  },
  advantage: (c, p) => zScore(c.reward, c.all, { eps: p.eps_std, weight: c.optional("reward.present") }),
});
