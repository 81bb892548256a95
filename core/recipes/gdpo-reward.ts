import { anything, choice, defineRecipe, number } from "../recipe.ts";
import { AGGREGATIONS, aggregate } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { eachReward } from "../rl/reward.ts";

export default defineRecipe({
  id: "gdpo-reward",
  paper: {
    title: "GDPO: Group reward-Decoupled Normalization Policy Optimization for Multi-reward RL Optimization",
    arxiv: "2601.05242",
    source: "github NVlabs/GDPO trl-0.18.0-gdpo/trl/trainer/grpo_trainer.py",
  },
  stage: ["advantage"],
  describe: `Each reward is normalised within the group before they are summed, so that different combinations with one
sum stay apart; the weighted sum is then normalised over the batch. A reward that is constant in a group adds 0, one that
does not apply is dropped. Token mean. verl's variant, which whitens over tokens, is left out.`,
  formula: "S_i = Σ_k w_k (R^k_i − mean_g)/(std_g + eps_group); A = (S − mean)/(std + eps_batch) over the batch",
  params: {
    weights: anything<Record<string, number>>({}, "weight by name of a reward; 1 for those not named"),
    eps_group: number(1e-4, "added to the group's deviation", { min: 0 }),
    eps_batch: number(1e-4, "added to the batch's deviation", { min: 0 }),
    std_ddof: number(1, "divisor n − ddof of both variances", { min: 0, max: 1 }),
    aggregation: choice("token-mean", AGGREGATIONS, "how token losses become one"),
  },
  advantage: (c, p) => {
    const each: Record<string, number[]> = {};
    let sum = c.number(0, c.trajectory);
    for (const { name, value, present } of eachReward(c)) {
      const score = zScore(value, c.group, { eps: p.eps_group, ddof: p.std_ddof, weight: present });
      each[name] = [...score.values()];
      sum = sum.add(score.mul(p.weights[name] ?? 1));
    }
    c.output("advantage_each", each);
    return zScore(sum, c.all, { eps: p.eps_batch, ddof: p.std_ddof }).mul(c.mask);
  },
  aggregate: (c, loss, p) => aggregate(c, loss, p.aggregation),
});
