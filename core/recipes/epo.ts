import { choice, defineRecipe, integer, none, number, optional } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import type { Context } from "../rl/context.ts";
import { dualClip } from "../rl/gate.ts";
import { exp } from "../rl/scalar.ts";
import type { Vec } from "../rl/vec.ts";

/** Mean entropy of each environment step, one list an iteration; null for a step that nothing reached. */
type History = (number | null)[][];

const history = (c: Context): History => c.state["entropy_history"] as History;
const steps = (c: Context): Vec => c.optional("env_step") ?? c.number(0, c.trajectory);

/** hbar_e: mean over the iterations that reached step e; null before the first. */
function historyMean(c: Context): (number | null)[] {
  const length = Math.max(0, ...history(c).map((row) => row.length));
  return Array.from({ length }, (_, e) => {
    const seen = history(c)
      .map((row) => row[e] ?? null)
      .filter((h) => h !== null);
    return seen.length === 0 ? null : seen.reduce((a, b) => a + b, 0) / seen.length;
  });
}

/** Down to 0.83 in the first half of the epochs, from 0.8 to 0.04 in the second. */
function fading(epoch: number, epochs: number): number {
  const half = Math.floor(epochs / 2);
  if (epoch <= half) return 1 - 0.2 * (1 - exp(half === 0 ? 0 : (-2 * epoch) / half));
  return 0.8 * exp((-3 * (epoch - half)) / (epochs - half));
}

interface Band {
  mode: string;
  min_ratio: number;
  max_ratio: number;
  out_of_band: number;
  epoch: number | null;
  max_epochs: number;
  max_step: number;
}

/** P of every token, constant for derivatives; 0 while no sample has come half way through the episode. */
function penalty(c: Context, p: Band): Vec {
  const means = historyMean(c);
  const env = [...steps(c).values()];
  const known = env.map((e) => Number((means[e] ?? null) !== null));
  const centre = c.lift(
    c.trajectory,
    env.map((e) => means[e] ?? 0),
  );
  const entropy = c.entropy.stop();
  const held = p.mode === "seq" ? entropy.meanOver(c.trajectory, c.mask) : entropy;
  const inside = held.gt(centre.mul(p.min_ratio)).and(held.lt(centre.mul(p.max_ratio)));
  const active = env.some((e) => e >= Math.floor(p.max_step / 2)) ? 1 : 0;
  const weight = fading(p.epoch ?? (c.state["epoch"] as number), p.max_epochs);
  c.output("history_mean", means);
  c.output("epoch_weight", weight);
  const charge = c.lift(c.trajectory, known).where(inside.not().mul(p.out_of_band), 1);
  return charge.to(c.token).mul(active * weight);
}

export default defineRecipe({
  id: "epo",
  paper: {
    title: "EPO: Entropy-regularized Policy Optimization for LLM Agents Reinforcement Learning",
    source: "repo WujiangXu/EPO: verl/workers/actor/dp_actor.py",
  },
  stage: ["objective", "update"],
  describe: `PPO with dual clip, an entropy bonus, and a charge for entropy outside a band around its own history, kept
for each environment step. Quirk of the authors' code: the charge is a constant, so it moves the loss and not the gradient;
before there is a history it is 1. Rollouts without env_step are one step. State: entropy_history, epoch.`,
  formula: "loss = PPO − entropy_coef·(mean H − smooth_coef·mean P), P = kappa·weight outside (lo, hi)·hbar_e",
  params: {
    mode: choice("token", ["token", "seq"], "whether the entropy of a token or of its trajectory is held to the band"),
    min_ratio: number(0, "lower edge of the band over the history's mean", { min: 0 }),
    max_ratio: number(2, "upper edge", { min: 0 }),
    out_of_band: number(0.05, "kappa, the charge outside", { min: 0 }),
    epoch: optional(null, "epoch of the fading weight; null: optimiser steps seen", { min: 0 }),
    max_epochs: integer(150, "epochs of the run", { min: 1 }),
    max_step: integer(1, "environment steps of an episode", { min: 0 }),
    entropy_coef: number(0.001, "coefficient of the entropy bonus", { min: 0 }),
    smooth_coef: number(1, "coefficient of the charge within the bonus", { min: 0 }),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    dual_clip: number(3, "largest ratio that matters for a negative advantage", { min: 1 }),
    aggregate: choice("token mean", ["token mean"], "aggregation of the PPO term"),
  },
  fields: { env_step: "trajectory" },
  state: {
    init: () => ({ entropy_history: [], epoch: 0 }),
    // Of every optimiser step, so that the step itself is held to what came before it.
    step: (c) => {
      const at = c.keyed("environment step", c.trajectory, steps(c).values());
      const mean = c.entropy.meanOver(at, c.mask).values();
      const trained = c.mask.sumOver(at).values();
      const row: (number | null)[] = [];
      steps(c)
        .values()
        .forEach((e, i) => {
          const k = c.trajectory.edge(at).index[i];
          while (row.length <= e) row.push(null);
          row[e] = trained[k] > 0 ? mean[k] : null;
        });
      return { entropy_history: [...history(c), row], epoch: (c.state["epoch"] as number) + 1 };
    },
  },
  gate: (c, ratio, p) => dualClip(c, ratio, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }, p.dual_clip),
  kl: none,
  entropy: (c, p) => {
    const charge = penalty(c, p);
    const bonus = c.entropy.meanOver(c.all, c.mask);
    const smooth = charge.meanOver(c.all, c.mask);
    c.output("penalty", charge);
    c.output("entropy_bonus", bonus);
    c.output("smooth_penalty", smooth);
    return bonus.sub(smooth.mul(p.smooth_coef)).mul(p.entropy_coef);
  },
  aggregate: tokenMean,
});
