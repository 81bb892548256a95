import { anything, defineRecipe, integer, none, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { largest, widestSubset } from "../rl/filter.ts";
import { roundHalfEven } from "../rl/scalar.ts";

const stepOf = (c: Context): number => (c.has("step") ? c.field("step").value() : (c.state["step"] as number));

export default defineRecipe({
  id: "d3s",
  paper: {
    title: "Learning More with Less: A Dynamic Dual-Level Down-Sampling Framework for Efficient Policy Optimization",
    arxiv: "2509.22115",
  },
  stage: ["filter"],
  describe: `Trains on part of the batch: the rollouts whose advantages vary most, and of their tokens those with the largest
|advantage|·entropy; both shares grow over the run. What is dropped leaves the divisor. Advantages stay those of the
whole groups. The paper's selection inside each prompt is left out, and the shares and steps are ours (not to be had).
State: the step, where the batch does not bring it.`,
  formula:
    "keep argmax_{|S| = n·N} var_S A, then the ceil(k·count) tokens of largest |A|·H; loss = Σ_kept ℓ / kept tokens",
  params: {
    n_init: number(0.5, "share of rollouts at the start", { min: 0, max: 1 }),
    n_final: number(1, "and at the end", { min: 0, max: 1 }),
    k_init: number(0.2, "share of their tokens at the start", { min: 0, max: 1 }),
    k_final: number(0.8, "and at the end", { min: 0, max: 1 }),
    schedule_steps: integer(100, "steps from start to end", { min: 1 }),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    adv_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    aggregation: anything("token-mean over kept tokens", "the aggregation in words; there is this one alone"),
  },
  fields: { step: "batch" },
  state: { init: () => ({ step: 0 }), update: (c) => ({ step: stepOf(c) + 1 }) },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.adv_eps }).mul(c.mask),
  filter: (c, p) => {
    const progress = Math.min(1, stepOf(c) / p.schedule_steps);
    const share = (from: number, to: number): number => from + (to - from) * progress;
    const a = zScore(c.reward, c.group, { eps: p.adv_eps });
    const keep = widestSubset(c, a, roundHalfEven(share(p.n_init, p.n_final) * c.trajectory.size));
    const open = c.mask.mul(keep);
    const n = Math.ceil(share(p.k_init, p.k_final) * open.sumOver(c.all).value());
    c.output("variance", a.varOver(c.all, { weight: keep }));
    return { keep, keepToken: largest(c, a.abs().mul(c.entropy), n, c.all, open), leftOut: true };
  },
  kl: none,
  aggregate: tokenMean,
});
