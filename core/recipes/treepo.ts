import { choice, defineRecipe, flag, none, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { whiten } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { dualClip } from "../rl/gate.ts";

interface Options {
  adv_weight_strategy: string;
  remove_no_std_subgroup: boolean;
}

/** A leaf's margins over the mean rewards of the subtrees that it lies in, combined into one number a leaf. */
function margins(c: Context, p: Options): number[] {
  const paths = c.raw<(string | number)[][]>("tree_path");
  if (paths.length !== c.trajectory.size) c.refuse("treepo: 'tree_path' is not one path a leaf", "give one each");
  const reward = c.reward.values();
  const prompt = c.trajectory.edge(c.group).index;
  const depths = Math.max(1, paths.reduce((n, path) => Math.max(n, path.length), 0) - 1);
  const total = paths.map(() => 0);
  const weight = paths.map(() => 0);
  for (let j = 0; j < depths; j++) {
    const subtrees = new Map<string, number[]>();
    paths.forEach((path, i) => {
      const key = JSON.stringify([prompt[i], path.slice(0, j + 1)]);
      subtrees.set(key, [...(subtrees.get(key) ?? []), i]);
    });
    for (const leaves of subtrees.values()) {
      const equal = leaves.every((i) => reward[i] === reward[leaves[0]]);
      if (j > 0 && (leaves.length < 2 || (p.remove_no_std_subgroup && equal))) continue;
      const mean = leaves.length < 2 ? 0 : leaves.reduce((sum, i) => sum + reward[i], 0) / leaves.length;
      const share = p.adv_weight_strategy === "group_size" ? leaves.length : 1;
      for (const i of leaves) {
        total[i] += share * (reward[i] - mean);
        weight[i] += share;
      }
    }
  }
  return total.map((sum, i) => sum / weight[i]);
}

export default defineRecipe({
  id: "treepo",
  paper: {
    title:
      "TreePO: Bridging the Gap of Policy Optimization and Efficacy and Inference Efficiency with Heuristic Tree-based Modeling",
    source: "github multimodal-art-projection/TreePO: verl/trainer/ppo/core_algos.py",
  },
  stage: ["rollout", "advantage", "filter"],
  describe: `Rollouts grow as a tree of segments (tree_path: the nodes from the first branch to the leaf); the advantage averages
a leaf's margins over the baselines of all subtrees it lies in, whitened over the tokens of the batch. Quirk of the released
code: the coarsest subtree is that of the first branch, not the prompt, and a leaf alone in it keeps its raw reward. DAPO's
clip, dual clip, token mean, no KL. Growing the tree is left out; dynamic sampling and the overlong penalty are options.`,
  formula: "Â_i = mean (or mean weighted by n_j) over depths j of R_i − mean of subtree_j(i); A = (Â − μ)/√(σ² + 1e-8)",
  params: {
    adv_weight_strategy: choice("average", ["average", "group_size"], "how the depths weigh"),
    remove_no_std_subgroup: flag(false, "whether subtrees of equal rewards below the first leave the mean"),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.28, "clip range above 1", { min: 0 }),
    clip_c: number(10, "dual clip of negative advantages", { min: 1 }),
  },
  fields: { tree_path: "raw" },
  advantage: (c, p) => whiten(c, c.lift(c.trajectory, margins(c, p)).to(c.token)),
  gate: (c, ratio, p) => dualClip(c, ratio, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }, p.clip_c),
  kl: none,
  aggregate: tokenMean,
  trains: { refuse: "needs rollouts that branch: supply tree_path, the nodes from the root's branch to each leaf" },
});
