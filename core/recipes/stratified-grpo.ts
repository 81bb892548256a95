import { choice, defineRecipe, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggregate } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";

export default defineRecipe({
  id: "stratified-grpo",
  paper: {
    title: "Stratified GRPO: Handling Structural Heterogeneity in Reinforcement Learning of LLM Search Agents",
    arxiv: "2510.06214",
  },
  stage: ["advantage"],
  describe: `Rollouts of a prompt are compared with those of equal structure (stratum: the number of search calls; without tools, of segments), so that deep
searchers are not judged by the mean of shallow ones; a share of the ordinary comparison is mixed in. A stratum of one or
without differences leaves that share alone; one stratum is GRPO. alpha and eps were not read. No KL.`,
  formula: "A = alpha·(R − mean_k)/(std_k + eps) + (1 − alpha)·(R − mean_g)/(std_g + eps), population deviations",
  params: {
    alpha: number(0.5, "share of the comparison inside the stratum; 1: that alone, 0: GRPO", { min: 0, max: 1 }),
    eps: number(1e-6, "added to deviations", { min: 0 }),
    std: choice("population", ["population", "sample"], "divisor of the variance: n or n − 1"),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    agg: choice("token-mean", AGGREGATIONS, "from token losses to the loss"),
  },
  fields: { stratum: "trajectory" },
  advantage: (c, p) => {
    const group = c.trajectory.edge(c.group).index;
    const stratum = c.keyed("stratum", c.trajectory, group, c.raw<ArrayLike<number>>("stratum"));
    const options = { eps: p.eps, ddof: p.std === "sample" ? 1 : 0 };
    const san = zScore(c.reward, stratum, options);
    const global = zScore(c.reward, c.group, options);
    c.output("advantage_san", san);
    c.output("advantage_global", global);
    return san.mul(p.alpha).add(global.mul(1 - p.alpha));
  },
  kl: none,
  aggregate: (c, loss, p) => aggregate(c, loss, p.agg),
  trains: { supply: { stratum: "segment-count" } },
});
