import { choice, defineRecipe, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggregate } from "../rl/aggregate.ts";
import { centred } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { dualClip } from "../rl/gate.ts";
import { eachReward } from "../rl/reward.ts";
import type { Vec } from "../rl/vec.ts";

interface Fit {
  a: Vec;
  b: Vec;
  alpha: Vec;
  beta: Vec;
}

/** α and β of the normalising density: moments of the success rates, fitted to a Beta, then flattened by a third. */
function betaFit(c: Context, rate: Vec): Fit {
  // One prompt has no variance; the authors' code then takes mean 0, which gives α = β = 1.
  const mean = c.group.size === 1 ? c.number(0) : rate.meanOver(c.all);
  const spread = mean
    .mul(mean.not())
    .div(rate.varOver(c.all, { ddof: 1 }))
    .sub(1);
  const a = spread.mul(mean);
  const b = spread.mul(mean.not());
  return { a, b, alpha: a.div(3).add(1).max(1), beta: b.div(3).add(1).max(1) };
}

const numbers = (fit: Fit) => Object.fromEntries(Object.entries(fit).map(([name, x]) => [name, x.value()]));

function logDensity(x: Vec, { alpha, beta }: Fit): Vec {
  const norm = alpha.logGamma().add(beta.logGamma()).sub(alpha.add(beta).logGamma());
  return alpha.sub(1).mul(x.log()).add(beta.sub(1).mul(x.not().log())).sub(norm);
}

export default defineRecipe({
  id: "bnpo",
  paper: { title: "BNPO: Beta Normalization Policy Optimization", arxiv: "2506.02864" },
  stage: ["advantage", "objective"],
  describe: `Binary rewards are normalised not by the group's deviation but by a Beta density at the prompt's success rate,
whose parameters follow the success rates of the batch: α = β = 1 is REINFORCE with a group mean, 3/2 is GRPO.
Dual clip, token sum inside a trajectory. Equal success rates, or one prompt, give α = β = 1. Of several named rewards the
advantages are averaged. (TRL's loss_type of the same name is another thing: its per-device token mean.)`,
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
    const named = eachReward(c);
    // One reward may have been weighted or shaped since; several that were shaped into one are one.
    const one = c.has("reward") && (named.length === 1 || c.has("reward.given"));
    const all = one ? [{ name: "reward", value: c.reward, present: c.present("reward") }] : named;
    const fits: Record<string, unknown> = {};
    let sum = c.number(0, c.trajectory);
    for (const { name, value, present } of all) {
      const reward = value.sub(p.r_min).div(p.r_max - p.r_min);
      const rate = reward.meanOver(c.group, present);
      const fit = betaFit(c, rate);
      fits[name] = numbers(fit);
      const weight = logDensity(rate, fit).neg().exp().min(p.weight_max);
      sum = sum.add(centred(reward, c.group, present).mul(weight));
    }
    // By name where there are several.
    c.output("beta_fit", all.length === 1 ? fits[all[0].name] : fits);
    return sum.div(all.length).mul(c.mask);
  },
  gate: (c, ratio, p) => dualClip(c, ratio, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }, p.clip_c),
  kl: none,
  aggregate: (c, loss, p) => aggregate(c, loss, p.aggregation),
});
