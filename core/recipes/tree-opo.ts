import { anything, choice, defineRecipe, flag, number } from "../recipe.ts";
import { centred, zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { members } from "../rl/groups.ts";
import { projectOrdered } from "../rl/projection.ts";
import type { Vec } from "../rl/vec.ts";

type Pair = [number, number];

const below = (path: string, prefix: string): boolean => path.length > prefix.length && path.startsWith(prefix);

/** What rollouts from a prefix and from those below it make of it: their mean, best or worst reward. */
function values(c: Context, paths: readonly string[], how: "expectation" | "optimistic" | "pessimistic"): Vec {
  const reward = c.reward.values();
  const value = new Float64Array(paths.length);
  for (const group of members(c)) {
    for (const i of group) {
      const inside = group.filter((j) => paths[j].startsWith(paths[i])).map((j) => reward[j]);
      if (how === "expectation") value[i] = inside.reduce((a, b) => a + b, 0) / inside.length;
      else value[i] = how === "optimistic" ? Math.max(...inside) : Math.min(...inside);
    }
  }
  return c.lift(c.trajectory, value);
}

/** Pairs [i, j] with a_i ≤ a_j: a failure above a success, and of two failed siblings the more promising one. */
function constraints(group: readonly number[], paths: readonly string[], reward: ArrayLike<number>): Pair[] {
  const promising = (i: number): boolean => group.some((k) => reward[k] > 0 && below(paths[k], paths[i]));
  const siblings = (a: string, b: string): boolean =>
    a !== b && a !== "" && b !== "" && a.slice(0, -1) === b.slice(0, -1);
  return group.flatMap((i) =>
    group.flatMap((j): Pair[] => {
      if (reward[i] > 0) return [];
      if (reward[j] > 0) return below(paths[j], paths[i]) ? [[i, j]] : [];
      return siblings(paths[i], paths[j]) && promising(i) && !promising(j) ? [[i, j]] : [];
    }),
  );
}

export default defineRecipe({
  id: "tree-opo",
  paper: {
    title: "Tree-OPO: Off-policy Monte Carlo Tree-Guided Advantage Optimization for Multistep Reasoning",
    arxiv: "2509.09284",
  },
  stage: ["sampler", "rollout", "advantage"],
  describe: `A group starts from prefixes of one problem's search tree (prefix_path: a character a step); the baseline of a
rollout is what its prefix is worth, by the rollouts below it. Outputs the optimistic and pessimistic baselines' advantages
too, and the projection on the orderings that the tree implies (soft norm bound). A reconstruction from the abstract and
summaries. Building the tree, distillation and prefix ratios are left out.`,
  formula:
    "a' = R − alpha·V(prefix), A = a' − mean_g(a'); projection: min ½|a − r0|², Σa = 0, |a|² ≤ G, a_i + delta ≤ a_j",
  params: {
    alpha: number(0.5, "share of the prefix's value that is taken off"),
    delta: number(0, "least gap of an ordering", { min: 0 }),
    heuristic: choice(
      "expectation",
      ["expectation", "optimistic", "pessimistic", "projection"],
      "which advantage the policy is trained with",
    ),
    scale_std: flag(false, "whether the advantage is divided by the group's standard deviation"),
    norm: anything("soft: ||a||^2<=N per group", "in words, the bound of the projection's norm"),
  },
  fields: { prefix_path: "trajectory" },
  advantage: (c, p) => {
    // Rollouts without a prefix start at the root, whose value is the group's mean.
    const paths = c.hasRaw("prefix_path") ? c.raw<string[]>("prefix_path") : Array.from(c.reward.values(), () => "");
    const reward = c.reward.values();
    const scale = (a: Vec): Vec => (p.scale_std ? zScore(a, c.group, { eps: 1e-6 }) : centred(a, c.group));
    const staged = (how: "expectation" | "optimistic" | "pessimistic"): Vec =>
      scale(c.reward.sub(values(c, paths, how).mul(p.alpha)));
    const start = centred(c.reward, c.group).values();
    const projected = new Float64Array(paths.length);
    const ordered: Pair[] = [];
    for (const group of members(c)) {
      const pairs = constraints(group, paths, reward);
      ordered.push(...pairs);
      const local = pairs.map(([i, j]): Pair => [group.indexOf(i), group.indexOf(j)]);
      const own = group.map((i) => start[i]);
      const nearest = projectOrdered(own, { pairs: local, delta: p.delta, squares: group.length });
      group.forEach((i, k) => {
        projected[i] = nearest[k];
      });
    }
    const all = {
      expectation: staged("expectation"),
      optimistic: staged("optimistic"),
      pessimistic: staged("pessimistic"),
      projection: c.lift(c.trajectory, projected),
    };
    c.output("advantage_optimistic", all.optimistic);
    c.output("advantage_pessimistic", all.pessimistic);
    c.output("advantage_projection", all.projection);
    c.output(
      "constraints",
      ordered.sort((a, b) => a[0] - b[0] || a[1] - b[1]),
    );
    return all[p.heuristic];
  },
  trains: { refuse: "needs rollouts that start from a search tree's prefixes: supply prefix_path, a character a step" },
});
