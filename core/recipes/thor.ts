import { choice, defineRecipe, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggLoss } from "../rl/aggregate.ts";
import { keepSingles, zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { dualClip } from "../rl/gate.ts";
import { ALL } from "../rl/level.ts";
import type { Vec } from "../rl/vec.ts";

/** The rows that survive: sound ones, of groups with enough of these and with differences among them (or just one). */
function survivors(c: Context, ratio: number): Vec {
  const level = c.raw<ArrayLike<string>>("level");
  const other = Array.from(level).find((name) => name !== "traj" && name !== "step");
  if (other !== undefined || level.length !== c.trajectory.size) {
    c.refuse(`thor: 'level' has ${JSON.stringify(other)} among ${level.length}`, "give traj or step for each rollout");
  }
  const step = c.flags(
    c.trajectory,
    Array.from(level, (name) => name === "step"),
  );
  const sound = c.field("exec_pass").max(step);
  const least = sound.countOver(c.group).mul(ratio).neg().floor().neg();
  const kept = sound.mul(sound.sumOver(c.group).ge(least));
  const most = kept.where(c.reward, c.reward.minOver(c.group)).maxOver(c.group);
  const fewest = kept.where(c.reward, c.reward.maxOver(c.group)).minOver(c.group);
  return kept.mul(most.gt(fewest).or(kept.sumOver(c.group).eq(1)));
}

export default defineRecipe({
  id: "thor",
  paper: {
    title: "THOR: Tool-Integrated Hierarchical Optimization via RL for Mathematical Reasoning",
    arxiv: "2509.13761",
    source: "github JingMog/THOR verl/trainer/ppo/core_algos.py, verl/workers/actor/dp_actor.py",
  },
  stage: ["rollout", "filter", "advantage", "objective", "pipeline"],
  describe: `Two kinds of groups in one batch (level): whole solutions with code (traj), of which those with a failed call leave,
and re-sampled code steps (step), rewarded by whether they run. Groups with too few survivors or without differences are
dropped whole; one survivor keeps its raw reward. Dual clip, no KL, and a small likelihood term on tokens of positive
advantage. Cutting and re-sampling, tests of length and answer format, and the cold start are left out.`,
  formula: "loss = Σ_kept m·ℓ_dual / Σ_kept m + nll_alpha·Σ_{m, A > 0} (−lp) / count",
  params: {
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.28, "clip range above 1", { min: 0 }),
    dual_clip: number(3, "bound of the ratio where A < 0", { min: 1 }),
    nll_alpha: number(0.01, "weight of the likelihood term", { min: 0 }),
    group_keep_ratio: number(0.5, "least share of a group's rows that must survive", { min: 0, max: 1 }),
    adv_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    agg: choice("token-mean", AGGREGATIONS, "from token losses to the loss"),
  },
  fields: { level: "raw", exec_pass: "trajectory" },
  advantage: (c, p) => {
    const kept = survivors(c, p.group_keep_ratio);
    const score = zScore(c.reward, c.group, { eps: p.adv_eps, weight: kept });
    return keepSingles(c.reward, c.group, score, kept).mul(kept);
  },
  filter: (c, p) => ({ keep: survivors(c, p.group_keep_ratio), leftOut: true }),
  gate: (c, ratio, p) => dualClip(c, ratio, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }, p.dual_clip),
  kl: none,
  aggregate: (c, loss, p) => {
    const policy = aggLoss(c, loss, p.agg);
    c.output("pg_loss", policy);
    return policy;
  },
  aux: (c, p) => {
    const good = c.kept.mul(c.advantage.gt(1e-7));
    const nll = c.logp.neg().mul(good).sumOver(ALL).div(good.sumOver(ALL).max(1));
    c.output("nll", nll);
    return nll.mul(p.nll_alpha);
  },
  trains: { refuse: "needs rollouts with code and re-sampled steps: supply level (traj, step) and exec_pass" },
});
