import { defineRecipe, number } from "../recipe.ts";
import { returns, tokenReward } from "../rl/credit.ts";

export default defineRecipe({
  id: "counterpol",
  paper: { title: "Counterfactual Explanation Policies in RL", arxiv: "2307.13192" },
  stage: ["objective", "theory", "policy"],
  describe: `Looks for a policy of a given return that stays close to a given one: cross-entropy to the pivot on the visited
actions, and the score-function gradient of the squared gap of the mean return to its target. No groups, no ratio, no
clip. The pivot is prob_pivot, or without it the reference policy; moving it in stages and greedy rollouts are the
trainer's. A weight of 1 clones the pivot.`,
  formula:
    "loss = (1/S) Σ_{i,t} [−w·π_pivot + 2(1−w)(J − R*)(G_{i,t} − R*)/D²]·lp, J the mean return, G the reward-to-go, S steps",
  params: {
    kl_weight: number(0.9, "w: closeness to the pivot against the return (the authors' Pendulum run has 1e5)", {
      min: 0,
    }),
    target_return: number(1, "R*: the return to reach"),
    reward_range: number(500, "D: scale of returns", { min: 1e-9 }),
  },
  fields: { prob_pivot: "token" },
  loss: (c, p) => {
    const reward = tokenReward(c);
    const total = reward.mul(c.mask).sumOver(c.trajectory).meanOver(c.all);
    const gap = total.sub(p.target_return);
    const scale = p.reward_range * p.reward_range;
    const pivot = c.optional("prob_pivot") ?? c.logpRef.exp();
    const pull = returns(c, reward)
      .sub(p.target_return)
      .mul(gap)
      .mul((2 * (1 - p.kl_weight)) / scale);
    c.output("return", total);
    c.output("gap_squared_scaled", gap.square().div(scale));
    return pull.sub(pivot.mul(p.kl_weight)).mul(c.logp).meanOver(c.all, c.mask);
  },
});
