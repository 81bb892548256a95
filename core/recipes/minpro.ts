import { choice, defineRecipe, none, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { ppoClip } from "../rl/gate.ts";

export default defineRecipe({
  id: "minpro",
  paper: {
    title: "A Step Back: Prefix Importance Ratio Stabilizes Policy Optimization",
    arxiv: "2601.22718",
  },
  stage: ["objective"],
  describe: `Off-policy correction for the prefix: each clipped token term is multiplied by the smallest ratio seen earlier
in the trajectory (1 for the first token), a proxy of the prefix product that does not decay with the length. Constant
for the derivative, not capped at 1. Reconstruction from the abstract: cap and clip are not known. Outputs weight.`,
  formula: "W_t = sg(min_{j<t} ρ_j), W_0 = 1; loss = Σ m·W·[−min(ρA, clip(ρ)A)] / Σ m",
  params: {
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.28, "clip range above 1", { min: 0 }),
    std: choice("population", ["population", "sample"], "divisor of the group's variance: n or n − 1"),
    eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    single_member_advantage: number(0, "advantage of a group of one"),
    aggregate: choice("token mean over the batch", ["token mean over the batch"], "every token weighs the same"),
  },
  advantage: (c, p) => {
    const score = zScore(c.reward, c.group, { eps: p.eps, ddof: p.std === "sample" ? 1 : 0 });
    return c.reward.countOver(c.group).eq(1).where(p.single_member_advantage, score);
  },
  gate: (c, ratio, p) => {
    const smallest = ratio.stop().runningOver(c.trajectory, "min").shift(c.trajectory, 1);
    const first = c.number(1, c.token).positionOver(c.trajectory).eq(0);
    const weight = first.where(1, smallest);
    c.output("weight", weight);
    return ppoClip(c, ratio, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }).mul(weight);
  },
  kl: none,
  aggregate: tokenMean,
});
