import { anything, choice, defineRecipe, number } from "../recipe.ts";
import { AGGREGATIONS, aggregate } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { KL_KINDS, klPenalty, klToReference } from "../rl/kl.ts";

export default defineRecipe({
  id: "var-grpo",
  paper: { title: "Fine-Tuning Next-Scale Visual Autoregressive Models with Group Relative Policy Optimization" },
  stage: ["application", "objective"],
  describe: `Plain GRPO on images that are generated scale by scale: the tokens of one scale are independent given the coarser
ones, so that one forward pass gives every log-probability; the loss does not read the scales. A reconstruction from the
abstract: clip, penalty and aggregation are generic. The image model and the aesthetic reward are left out.`,
  formula: "A = (R − μ)/(σ + adv_eps); loss = mean_i mean_t [−min(ρA, clip(ρ)A) + beta·k3]",
  params: {
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    beta: number(0.04, "coefficient of the penalty to the reference", { min: 0 }),
    kl: choice("k3", KL_KINDS, "estimator of the penalty"),
    agg: choice("seq-mean-token-mean", AGGREGATIONS, "from token losses to the loss"),
    adv_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    std: choice("sample", ["sample", "population"], "divisor of the variance: n − 1 or n"),
    scales: anything<readonly number[]>(
      [],
      "side lengths of the image's scales (the model's; the loss does not read them)",
    ),
  },
  fields: { scale: "token" },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.adv_eps, ddof: p.std === "sample" ? 1 : 0 }),
  kl: (c, p) => (p.beta === 0 ? c.number(0) : klPenalty(c, klToReference(c, p.kl), p.beta)),
  aggregate: (c, loss, p) => aggregate(c, loss, p.agg),
});
