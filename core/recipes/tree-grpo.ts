import { choice, defineRecipe, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { klPenalty, klToReference } from "../rl/kl.ts";

export default defineRecipe({
  id: "tree-grpo",
  paper: {
    title: "Tree Search for LLM Agent Reinforcement Learning",
    source: "github AMAP-ML/Tree-GRPO: verl/trainer/ppo/core_algos.py",
  },
  stage: ["rollout", "advantage"],
  describe: `An agent's rollouts branch off at whole steps and form trees (tree: an id each); a leaf is compared with all leaves
of the prompt and with those of its own tree. Quirk of the code: a set of one keeps its raw reward. The growing and
pruning of trees and the variant with turn-level ratios are left out.`,
  formula:
    "tree: A = z_g(R) + z_tree(R); tree_2norm: z_tree(z_g(R)); tree_inner: z_tree(R); z = (x − mean)/(std + eps)",
  params: {
    estimator: choice("tree", ["tree", "tree_2norm", "tree_inner"], "which comparisons make the advantage"),
    eps: number(1e-6, "added to deviations", { min: 0 }),
    std: choice("sample", ["sample", "population"], "divisor of the variances: n − 1 or n"),
    kl_coef: number(0.001, "coefficient of the k3 penalty to the reference", { min: 0 }),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
  },
  fields: { tree: "trajectory" },
  advantage: (c, p) => {
    const group = c.trajectory.edge(c.group).index;
    const tree = c.keyed("tree", c.trajectory, group, c.raw<ArrayLike<number>>("tree"));
    const options = { eps: p.eps, ddof: p.std === "sample" ? 1 : 0, rawSingles: true };
    const inter = zScore(c.reward, c.group, options);
    if (p.estimator === "tree_2norm") return zScore(inter, tree, options);
    const intra = zScore(c.reward, tree, options);
    if (p.estimator === "tree_inner") return intra;
    c.output("advantage_inter", inter);
    c.output("advantage_intra", intra);
    return inter.add(intra);
  },
  kl: (c, p) => (p.kl_coef === 0 ? c.number(0) : klPenalty(c, klToReference(c, "k3"), p.kl_coef)),
  aggregate: tokenMean,
  trains: { refuse: "needs rollouts that branch: supply tree, the id of the tree that each one is a leaf of" },
});
