import { choice, defineRecipe, number } from "../recipe.ts";
import { AGGREGATIONS, aggregate, tokenMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { trainedRuns } from "../rl/turns.ts";

export default defineRecipe({
  id: "llds",
  paper: {
    title: "On GRPO Collapse in Search-R1: The Lazy Likelihood-Displacement Death Spiral",
    arxiv: "2512.04220",
    source: "github vengdeng/LLDS-On-Group-Relative-Policy-Optimization-Collapse-in-Search-R1 dp_actor.py",
  },
  stage: ["objective"],
  describe: `GRPO plus a charge on tokens of answers that are no worse than the mean, where the likelihood of their whole
action (a run of trained tokens) fell since the rollout. 0 by construction while lp = lp_old, so it needs several steps a
batch. As released: the divisor is all trained tokens, and a group of one keeps its raw reward.`,
  formula: "loss = GRPO + Σ gate·λ_t·max(0, lp_old − lp)/Σ m, gate = [A ≥ 0]·[Σ_action (lp_old − lp) > 0]",
  params: {
    lambda: number(0.2, "weight of the charge", { min: 0 }),
    lambda_answer: number(0.2, "its cap on tokens of the final answer; 0 leaves them out", { min: 0 }),
    gate: choice("action", ["action", "response"], "whose likelihood must have fallen"),
    adv_eps: number(1e-6, "added to the group's deviation", { min: 0 }),
    aggregation: choice("token-mean", AGGREGATIONS, "how GRPO's token losses become one"),
  },
  fields: { answer: "token" },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.adv_eps, rawSingles: true }).mul(c.mask),
  aggregate: (c, loss, p) => aggregate(c, loss, p.aggregation),
  aux: (c, p) => {
    const fallen = c.logpOld.sub(c.logp);
    const whole = p.gate === "action" ? trainedRuns(c) : c.trajectory;
    const sunk = fallen.stop().mul(c.mask).sumOver(whole).gt(0);
    const on = sunk.to(c.token).mul(c.advantage.ge(0)).mul(c.mask);
    const answer = c.optional("answer") ?? c.number(0, c.token);
    const weight = answer.where(Math.min(p.lambda_answer, p.lambda), p.lambda);
    const regulariser = tokenMean(c, fallen.max(0).mul(on).mul(weight));
    c.outputFlags("keep_token", on);
    c.output("regulariser", regulariser);
    return regulariser;
  },
});
