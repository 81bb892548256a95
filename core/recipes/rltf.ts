import { choice, defineRecipe, none, number } from "../recipe.ts";
import { tokenSum } from "../rl/aggregate.ts";

export default defineRecipe({
  id: "rltf",
  paper: { title: "Expanding the Capabilities of Reinforcement Learning via Text Feedback", arxiv: "2602.02482" },
  stage: ["objective", "rollout"],
  describe: `Self-distillation of answers that text feedback made possible: the second answer y1, scored under the bare prompt
(logp, logp_old), with its reward less the group's mean first-turn reward, so that a group whose first answers all fail
and second ones all succeed still learns. Ratio without clip, summed. Tokens that the bare prompt finds too surprising are
masked out. The terms of the two-turn policy gradient and of feedback modelling are left out.`,
  formula: "A_i = rl_coef·(r1_i − mean_g r0); loss = −Σ_{i,t} [lp_old ≥ logp_floor]·A_i·exp(lp − lp_old)",
  params: {
    rl_coef: number(0.1, "coefficient of the distillation term"),
    logp_floor: number(-5, "tokens of a lower lp_old are masked out, nats"),
    baseline: choice("first-turn mean", ["first-turn mean"], "what the second reward is compared with"),
    reduce: choice("sum", ["sum"], "no average over tokens"),
  },
  fields: { reward_turn0: "trajectory", reward_turn1: "trajectory", has_turn1: "trajectory" },
  advantage: (c, p) => {
    const baseline = c.field("reward_turn0").meanOver(c.group);
    return c.field("has_turn1").where(c.field("reward_turn1").sub(baseline).mul(p.rl_coef), 0);
  },
  filter: (c, p) => ({ keepToken: c.logpOld.ge(p.logp_floor) }),
  gate: (c, ratio) => ratio.mul(c.advantage).neg(),
  kl: none,
  aggregate: tokenSum,
  trains: { refuse: "needs episodes of two turns with feedback between: supply reward_turn0, reward_turn1, has_turn1" },
});
