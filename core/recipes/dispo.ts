import { anything, choice, defineRecipe, none, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { mixedGroups } from "../rl/filter.ts";
import { score } from "../rl/gate.ts";

export default defineRecipe({
  id: "dispo",
  paper: {
    title:
      "DISPO: Enhancing Training Efficiency and Stability in Reinforcement Learning for Large Language Model Mathematical Reasoning",
    arxiv: "2602.00983",
  },
  stage: ["objective"],
  describe: `REINFORCE whose detached importance weight is bounded (as CISPO), with bounds of their own for right and for
wrong answers: the former steer exploration against distillation, the latter stay wide against sudden collapse. Groups
without variance are dropped and leave the divisor. No KL; the soft length penalty is an option of its own.`,
  formula:
    "w = clamp(ρ, 1−eps_pos_lo, 1+eps_pos_hi) where A > 0, (1−eps_neg_lo, 1+eps_neg_hi) where A < 0; loss = −Σ m·sg(w)·A·lp / Σ m",
  params: {
    eps_pos_lo: number(0.2, "right answers: range of the weight below 1", { min: 0, max: 1 }),
    eps_pos_hi: number(10, "right answers: range above 1", { min: 0 }),
    eps_neg_lo: number(1, "wrong answers: range below 1", { min: 0, max: 1 }),
    eps_neg_hi: number(100, "wrong answers: range above 1", { min: 0 }),
    std: choice("population", ["population", "sample"], "divisor of the group's variance: n or n − 1"),
    eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    aggregate: anything("token mean over the kept groups", "the aggregation in words; there is this one alone"),
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.eps, ddof: p.std === "population" ? 0 : 1 }),
  filter: (c) => {
    const keep = mixedGroups(c, c.reward);
    c.outputFlags("keep_group", keep.maxOver(c.group));
    return { keep, leftOut: true };
  },
  gate: (c, ratio, p) => {
    const a = c.advantage;
    const right = ratio.clamp(1 - p.eps_pos_lo, 1 + p.eps_pos_hi);
    const wrong = ratio.clamp(1 - p.eps_neg_lo, 1 + p.eps_neg_hi);
    const weight = a.gt(0).where(right, a.lt(0).where(wrong, ratio)).stop();
    c.output("weight", weight);
    return score(c, a).mul(weight);
  },
  kl: none,
  aggregate: tokenMean,
});
