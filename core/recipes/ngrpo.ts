import { choice, defineRecipe, integer, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggregate } from "../rl/aggregate.ts";
import { keepSingles } from "../rl/baseline.ts";

export default defineRecipe({
  id: "ngrpo",
  paper: {
    title: "NGRPO: Negative-enhanced Group Relative Policy Optimization",
    source: "github nangongrui-ngr/NGRPO",
  },
  stage: ["advantage", "filter", "objective"],
  describe: `Each group gets virtual rollouts of the best reward, so that a group that is wrong throughout is pushed away
from; groups that are right throughout leave the step, denominators included. A narrow, asymmetric clip, mean over tokens,
no KL. Quirk of the authors' code: a group of one keeps its raw reward over 1 + adv_eps.`,
  formula: "μ, σ over {R_1 … R_G, R_max × virtual}; A = (R − μ)/(σ + adv_eps); token mean of the PPO clip",
  params: {
    max_reward: number(1, "reward of a virtual rollout"),
    virtual: integer(1, "virtual rollouts a group", { min: 0 }),
    eps_lo: number(0.16, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.24, "clip range above 1", { min: 0 }),
    adv_eps: number(1e-6, "added to the standard deviation", { min: 0 }),
    filter: choice("all_correct", ["all_correct", "none"], "which groups leave the step"),
    aggregation: choice("token-mean", AGGREGATIONS, "from token losses to the loss"),
  },
  advantage: (c, p) => {
    // Everything from R_max, where the virtual rollouts stand at 0: a group of R_max throughout is exactly 0.
    const below = c.reward.sub(p.max_reward);
    const n = below.countOver(c.group).add(p.virtual);
    const mean = below.sumOver(c.group).div(n);
    const centre = below.sub(mean);
    const spread = centre.square().sumOver(c.group).add(mean.square().mul(p.virtual)).div(n.sub(1));
    const score = centre.div(spread.sqrt().add(p.adv_eps));
    return keepSingles(c.reward.div(1 + p.adv_eps), c.group, score)
      .to(c.token)
      .mul(c.mask);
  },
  filter: (c, p) => {
    const right = c.reward.sub(p.max_reward).sumOver(c.group).eq(0);
    return p.filter === "none" ? {} : { keep: right.not().to(c.trajectory), leftOut: true };
  },
  kl: none,
  aggregate: (c, loss, p) => aggregate(c, loss, p.aggregation),
});
