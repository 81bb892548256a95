import { choice, defineRecipe, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggLoss } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";

export default defineRecipe({
  id: "ace",
  paper: {
    title: "Overconfident Errors Need Stronger Correction: Asymmetric Confidence Penalties for Reinforcement Learning",
    arxiv: "2602.21420",
  },
  stage: ["advantage"],
  describe: `A wrong answer that the policy likes more than the reference does is pushed down harder: its negative advantage
grows with the softplus of the log-ratio to the reference, summed over the trained tokens; right answers are untouched.
Reconstruction from the abstract and summaries: how alpha enters, its value and the plain sum (no length) were not read.`,
  formula: "c_i = Σ_t m(lp_old − lp_ref); A' = A·(1 + alpha·softplus(c_i)) where A < 0, else A; then GRPO, no KL",
  params: {
    alpha: number(1, "strength of the penalty", { min: 0 }),
    std_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    agg: choice("seq-mean-token-mean", AGGREGATIONS, "how token losses become one number"),
  },
  advantage: (c, p) => {
    const a = zScore(c.reward, c.group, { eps: p.std_eps, weight: c.optional("reward.present") });
    const shift = c.mask.mul(c.logpOld.sub(c.logpRef)).sumOver(c.trajectory);
    const weight = a.lt(0).where(shift.softplus().mul(p.alpha).add(1), 1);
    c.output("confidence_shift", shift);
    c.output("weight", weight);
    return a.mul(weight);
  },
  kl: none,
  aggregate: (c, loss, p) => aggLoss(c, loss, p.agg),
});
