import { choice, defineRecipe, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggregate } from "../rl/aggregate.ts";
import { centred } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { dualClip } from "../rl/gate.ts";
import type { Vec } from "../rl/vec.ts";

/** α and β of the normalising density: moments of the success rates, fitted to a Beta, then flattened by a third. */
function betaFit(c: Context, rate: Vec): { alpha: Vec; beta: Vec } {
  // One prompt has no variance; the authors' code then takes mean 0, which gives α = β = 1.
  const mean = c.group.size === 1 ? c.number(0) : rate.meanOver(c.all);
  const spread = mean
    .mul(mean.not())
    .div(rate.varOver(c.all, { ddof: 1 }))
    .sub(1);
  const a = spread.mul(mean);
  const b = spread.mul(mean.not());
  const alpha = a.div(3).add(1).max(1);
  const beta = b.div(3).add(1).max(1);
  c.output("beta_fit", { a: a.value(), b: b.value(), alpha: alpha.value(), beta: beta.value() });
  return { alpha, beta };
}

function logDensity(x: Vec, alpha: Vec, beta: Vec): Vec {
  const norm = alpha.logGamma().add(beta.logGamma()).sub(alpha.add(beta).logGamma());
  return alpha.sub(1).mul(x.log()).add(beta.sub(1).mul(x.not().log())).sub(norm);
}

export default defineRecipe({
  id: "bnpo",
  paper: { title: "BNPO: Beta Normalization Policy Optimization", arxiv: "2506.02864" },
  stage: ["advantage", "objective"],
  describe: `Binary rewards are normalised not by the group's deviation but by a Beta density at the prompt's success rate,
whose parameters follow the success rates of the batch: α = β = 1 is REINFORCE with a group mean, 3/2 is GRPO.
Dual clip, token sum inside a trajectory. Equal success rates, or one prompt, give α = β = 1. Several rewards at once
are left out. (TRL's loss_type of the same name is another thing: its per-device token mean.)`,
  formula: "A = (R − p_q)·min(1/f_Beta(p_q; α, β), weight_max), α = max(1, 1 + a/3), β = max(1, 1 + b/3)",
  params: {
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.28, "clip range above 1", { min: 0 }),
    clip_c: number(10, "dual clip: bound of the ratio where A < 0", { min: 1 }),
    weight_max: number(1e6, "largest 1/f", { min: 0 }),
    r_min: number(0, "reward that counts as 0"),
    r_max: number(1, "reward that counts as 1"),
    aggregation: choice("seq-mean-token-sum", AGGREGATIONS, "how token losses become one number"),
  },
  advantage: (c, p) => {
    const reward = c.reward.sub(p.r_min).div(p.r_max - p.r_min);
    const rate = reward.meanOver(c.group);
    const { alpha, beta } = betaFit(c, rate);
    const weight = logDensity(rate, alpha, beta).neg().exp().min(p.weight_max);
    return centred(reward, c.group).mul(weight).mul(c.mask);
  },
  gate: (c, ratio, p) => dualClip(c, ratio, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }, p.clip_c),
  kl: none,
  aggregate: (c, loss, p) => aggregate(c, loss, p.aggregation),
});
