import { choice, defineRecipe, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggregate } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";

export default defineRecipe({
  id: "mashost-hrpo",
  paper: {
    title: "MasHost Builds It All: Autonomous Multi-Agent System Directed by Reinforcement Learning",
    arxiv: "2506.08507",
  },
  stage: ["rollout", "advantage", "reward", "application"],
  describe: `A policy builds a system of agents step by step; the group-relative advantage of the finished system is joined
by a reward for each building action (reward_token; 0 where there is none). A reconstruction: the formula and lambda were
not seen. Without differences in a group the action rewards act alone. The graph of agents is left to the environment.`,
  formula: "A_{i,t} = (R_i − mean_g)/(std_g + adv_eps) + lambda·r_{i,t}",
  params: {
    lambda: number(0.5, "weight of an action's own reward"),
    adv_eps: number(1e-6, "added to the group's deviation", { min: 0 }),
    std: choice("sample", ["sample"], "deviation with divisor n − 1"),
    agg: choice("seq-mean-token-mean", AGGREGATIONS, "how the actions' losses become one"),
  },
  advantage: (c, p) => {
    const action = c.optional("reward_token") ?? c.number(0, c.token);
    return zScore(c.reward, c.group, { eps: p.adv_eps }).add(action.mul(p.lambda));
  },
  kl: none,
  aggregate: (c, loss, p) => aggregate(c, loss, p.agg),
});
