import { choice, defineRecipe, none, number, optional } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import type { Context } from "../rl/context.ts";
import { klEstimate } from "../rl/kl.ts";
import { mismatch, overSequence } from "../rl/mismatch.ts";
import type { Vec } from "../rl/vec.ts";

interface Bounds {
  level: "token" | "sequence";
  agg: "mean" | "sum" | "max";
  metric: "ratio" | "kl_k1" | "kl_k2" | "kl_k3";
  lo: number | null;
  hi: number | null;
}

/** v: the proximal policy over the behaviour policy. */
function gapRatio(c: Context, { level, agg, metric }: Bounds): Vec {
  const L = mismatch(c);
  return (level === "sequence" && metric === "ratio" ? overSequence(c, L, agg) : L).exp();
}

function within(c: Context, p: Bounds): Vec {
  if (p.metric === "ratio") return gapRatio(c, p).inside(p.lo, p.hi);
  const k = klEstimate(mismatch(c), p.metric.slice("kl_".length) as "k1" | "k2" | "k3");
  return (p.level === "sequence" ? overSequence(c, k, p.agg) : k).inside(p.lo, p.hi);
}

export default defineRecipe({
  id: "decoupled-ppo",
  paper: {
    title: "AReaL: A Large-Scale Asynchronous Reinforcement Learning System for Language Reasoning",
    source: "AReaL areal/utils/functional/functional.py",
  },
  stage: ["filter", "objective"],
  describe: `Three policies: the clip is round the proximal one (lp_old, recomputed), and the gap to the behaviour policy that
sampled is a weight of its own, without gradient. Tokens or trajectories out of bounds are masked, or their weight is
clamped. Masked tokens stay in the divisor. No KL term.`,
  formula: "v = sg(exp(lp_old − lp_rollout)); loss = Σ m·[within]·v·(−min(ρA, clip(ρ)A)) / Σ m, ρ = exp(lp − lp_old)",
  params: {
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    level: choice("token", ["token", "sequence"], "what is judged"),
    action: choice("mask", ["mask", "clamp"], "what happens out of bounds"),
    metric: choice("ratio", ["ratio", "kl_k1", "kl_k2", "kl_k3"], "what is compared with the bounds"),
    agg: choice("mean", ["mean", "sum", "max"], "level sequence: how its tokens become one number"),
    lo: optional(null, "lower bound; null: open"),
    hi: optional(null, "upper bound; null: open"),
  },
  filter: (c, p) => (p.action === "mask" ? { keepToken: c.mask.mul(within(c, p)) } : {}),
  weight: (c, p) => {
    const v = gapRatio(c, p).to(c.token);
    if (p.action === "mask") return v.mul(c.mask);
    const clamped = v.clamp(p.lo ?? 0, p.hi);
    return (p.level === "sequence" ? within(c, p).to(c.token).where(v, clamped) : clamped).mul(c.mask);
  },
  kl: none,
  aggregate: tokenMean,
});
