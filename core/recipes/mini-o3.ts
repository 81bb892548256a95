import { choice, defineRecipe, none, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import type { Vec } from "../rl/vec.ts";

/** 1 for rollouts that ended with an answer, not at a limit of turns or tokens. */
const ended = (c: Context): Vec =>
  (c.optional("over_turn") ?? c.optional("truncated") ?? c.number(0, c.trajectory)).not();

/** Groups whose answered rollouts differ: at least two of them, and a deviation that is not tiny. */
const telling = (c: Context, least: number): Vec =>
  c.reward
    .stdOver(c.group, { ddof: 1, weight: ended(c) })
    .ge(least)
    .and(ended(c).sumOver(c.group).ge(2));

export default defineRecipe({
  id: "mini-o3",
  paper: {
    title: "Mini-o3: Scaling Up Reasoning Patterns and Interaction Turns for Visual Search",
    source: "repo Mini-o3/Mini-o3",
  },
  stage: ["filter", "objective", "rollout", "pipeline"],
  describe: `Rollouts that hit the limit of turns or tokens without an answer are masked out of the loss and its divisor, so
that they are not punished; their reward stays in the group's mean and deviation, as released. over_turn, else the rollouts'
truncated. A group of one keeps its raw reward (verl). Cropping pictures and the cold start are left out.`,
  formula: "A = (R − mean_g)/(std_g + eps); loss = Σ_{answered} m·PPO/Σ_{answered} m",
  params: {
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.3, "clip range above 1", { min: 0 }),
    eps: number(1e-6, "added to the group's deviation", { min: 0 }),
    std: choice("unbiased", ["unbiased", "population"], "divisor of the variance: n − 1 or n"),
    min_group_std: number(1e-4, "least deviation of a group's answered rollouts", { min: 0 }),
    aggregate: choice("token mean over unmasked tokens", ["token mean over unmasked tokens"], "aggregation"),
    loss_over: choice(
      "all groups",
      ["all groups", "telling groups"],
      "whether groups that tell nothing leave the loss",
    ),
  },
  fields: { over_turn: "trajectory" },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.eps, ddof: p.std === "unbiased" ? 1 : 0, rawSingles: true }),
  filter: (c, p) => {
    const groups = telling(c, p.min_group_std);
    c.output(
      "keep_group",
      Array.from(groups.values(), (x) => x === 1),
    );
    return { keep: p.loss_over === "all groups" ? ended(c) : ended(c).mul(groups), leftOut: true };
  },
  kl: none,
  aggregate: tokenMean,
});
