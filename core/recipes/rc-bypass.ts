import { anything, choice, defineRecipe, none, number, optional } from "../recipe.ts";
import { AGGREGATIONS, aggLoss, reduced } from "../rl/aggregate.ts";
import type { Context } from "../rl/context.ts";
import { ppoClip, score } from "../rl/gate.ts";
import { correction, mismatch, rejection } from "../rl/mismatch.ts";
import { tokenRatio } from "../rl/ratio.ts";
import type { Vec } from "../rl/vec.ts";

const gap = (c: Context): Vec => mismatch(c, c.logp);

export default defineRecipe({
  id: "rc-bypass",
  paper: {
    title: "When Speed Kills Stability: Demystifying RL Collapse from the Training-Inference Mismatch",
    source: "verl verl/trainer/ppo/core_algos.py (bypass mode)",
  },
  stage: ["filter", "objective"],
  describe: `Two policies only: the sampler's log-probabilities serve as the old ones, which saves a forward pass. Rejection
(criteria of rc-rs-chain) follows the current policy at every optimiser step and leaves the divisors too. The weight is
for loss_type reinforce alone: in ppo_clip the ratio corrects already. No gradient through weight or rejection.`,
  formula: "L = lp − lp_rollout; reinforce: ℓ = −A·lp·sg(min(exp(L), cap)); ppo_clip: −min(ρA, clip(ρ)A), ρ = exp(L)",
  params: {
    loss_type: choice("ppo_clip", ["ppo_clip", "reinforce"], "what the policy term is"),
    rollout_is: {
      ...choice("sequence", ["token", "sequence"], "level of the weight; null: no weight"),
      nullable: true,
    },
    rollout_is_threshold: optional(2, "largest weight; null: no weight", { min: 0 }),
    rollout_rs: anything<string | null>(null, "rejection criteria, joined by commas; null: none"),
    rollout_rs_threshold: anything<string | number | null>(null, "'lo_hi' or one number each; null: none"),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    agg: choice("token-mean", AGGREGATIONS, "how token losses become one number"),
  },
  ratio: (c) => tokenRatio(c, { old: c.logpRollout }),
  gate: (c, ratio, p) => {
    if (p.loss_type === "ppo_clip") return ppoClip(c, ratio, c.advantage, { lo: p.eps_lo, hi: p.eps_hi });
    const cap = p.rollout_is_threshold;
    if (p.rollout_is === null || cap === null) return score(c, c.advantage);
    return score(c, c.advantage).mul(correction(c, { level: p.rollout_is, bound: (w) => w.min(cap) }, gap(c)).weight);
  },
  kl: none,
  aggregate: (c, loss, p) =>
    aggLoss(reduced(c, rejection(c, p.rollout_rs, p.rollout_rs_threshold, gap(c))), loss, p.agg),
});
