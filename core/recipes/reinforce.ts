import { choice, defineRecipe, none } from "../recipe.ts";
import { AGGREGATIONS, aggLoss } from "../rl/aggregate.ts";
import { score } from "../rl/gate.ts";

export default defineRecipe({
  id: "reinforce",
  paper: {
    title: "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning",
    source: "verl verl/trainer/ppo/core_algos.py (compute_policy_loss_reinforce)",
  },
  stage: ["objective"],
  describe: `The plain policy gradient on given advantages (else plain GRPO's): no ratio, no clip, no KL, so it is right only
for rollouts of the newest policy. A constant weight a token or trajectory, where the batch brings one.`,
  formula: "loss = agg(−w·A·lp)",
  params: { agg: choice("seq-mean-token-sum", AGGREGATIONS, "how token losses become one number") },
  weight: (c) => c.optional("weight") ?? c.number(1),
  ratio: none,
  gate: (c) => score(c, c.advantage),
  kl: none,
  aggregate: (c, loss, p) => aggLoss(c, loss, p.agg),
});
