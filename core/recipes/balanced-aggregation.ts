import { anything, choice, defineRecipe, none, number } from "../recipe.ts";
import { balancedGroupMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";

export default defineRecipe({
  id: "balanced-aggregation",
  paper: {
    title: "Balanced Aggregation: Understanding and Fixing Aggregation Bias in GRPO",
    arxiv: "2605.04077",
  },
  stage: ["objective"],
  describe: `Tokens are averaged inside the rollouts of positive advantage and inside those of negative advantage, and the
two sides are joined by how many rollouts they have: neither long nor short answers are favoured. Groups without variance
give 0 and count in the mean over groups; rollouts of advantage 0 count in G alone. No KL.`,
  formula: "L_g = (|P|/G)·(Σ_{i∈P,t} mℓ / Σ_{i∈P} T_i) + (|Q|/G)·(Σ_{i∈Q,t} mℓ / Σ_{i∈Q} T_i); loss = mean_g L_g",
  params: {
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.28, "clip range above 1", { min: 0 }),
    std: choice("population", ["population", "sample"], "divisor of the group's variance: n or n − 1"),
    eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    aggregate: anything("balanced per group, mean over groups", "the aggregation in words; there is this one alone"),
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.eps, ddof: p.std === "population" ? 0 : 1 }),
  kl: none,
  aggregate: (c, loss) => {
    const perGroup = balancedGroupMean(c, loss, c.advantage);
    c.output("group_loss", perGroup);
    return perGroup.meanOver(c.all);
  },
});
