import { choice, defineRecipe, none, number, range } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { dualClip } from "../rl/gate.ts";

export default defineRecipe({
  id: "simpletir",
  paper: {
    title: "SimpleTIR: End-to-End Reinforcement Learning for Multi-Turn Tool-Integrated Reasoning",
    source: "repo ltzheng/SimpleTIR: recipe/simpletir",
  },
  stage: ["filter", "objective", "rollout"],
  describe: `Rollouts with a void turn (neither finished code nor a final answer) leave the loss whole, as they hold the
unlikely tokens that make gradients explode; their rewards stay in the group's statistics. Dual clip, token mean over what
is kept, no KL. keep_group says which groups differ enough to be trained on; kept groups trains on those alone that also lie in
acc_range. Sampling more in their place is the sampler's. Quirk: a group of one keeps its raw reward.`,
  formula: "keep = no void turn; A = (R − μ)/(σ + eps); loss = Σ_kept m·ℓ_dual / Σ_kept m",
  params: {
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    dual_clip: number(3, "bound of the ratio where A < 0", { min: 1 }),
    eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    std: choice("unbiased", ["unbiased", "population"], "divisor of the variance: n − 1 or n"),
    std_min: number(0.001, "least deviation of rewards in a group worth training on", { min: 0 }),
    acc_range: range([0.1, 0.9], "mean rewards of a group worth training on, for kept groups (null: any)"),
    aggregate: choice("token mean over the batch", ["token mean over the batch"], "from token losses to the loss"),
    loss_over: choice("all groups", ["all groups", "kept groups"], "whether keep_group is applied or only reported"),
  },
  fields: { void: "trajectory" },
  advantage: (c, p) => {
    const ddof = p.std === "unbiased" ? 1 : 0;
    return zScore(c.reward, c.group, { eps: p.eps, ddof, rawSingles: true });
  },
  filter: (c, p) => {
    const mixed = c.reward.stdOver(c.group, { ddof: p.std === "unbiased" ? 1 : 0 }).ge(p.std_min);
    const worth = mixed.mul(c.reward.countOver(c.group).gt(1));
    c.outputFlags("keep_group", worth);
    const sound = c.field("void").ne(0).not();
    if (p.loss_over === "all groups") return { keep: sound, leftOut: true };
    const rate = c.reward.meanOver(c.group);
    const between = p.acc_range ? rate.inside(p.acc_range[0], p.acc_range[1]) : worth;
    return { keep: sound.mul(worth).mul(between), leftOut: true };
  },
  gate: (c, ratio, p) => dualClip(c, ratio, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }, p.dual_clip),
  kl: none,
  aggregate: tokenMean,
  trains: { refuse: "needs rollouts with tool turns: supply void, whether some turn has neither code nor an answer" },
});
