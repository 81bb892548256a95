import { choice, defineRecipe, number, optional } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { ALL } from "../rl/level.ts";
import { onPolicyRatio, tokenRatio } from "../rl/ratio.ts";
import { exp } from "../rl/scalar.ts";
import { nextChosen, turnsOf } from "../rl/turns.ts";
import type { Vec } from "../rl/vec.ts";

/** g_k/n_k on the tokens of action k: how much the answer to it changed the probability of the next action. */
function informationGain(c: Context): Vec {
  const action = turnsOf(c);
  const masked = c.optional("logp_masked_feedback") ?? c.logp;
  const change = c.logp.sub(masked).stop().meanOver(action, c.mask);
  const tokens = c.mask.sumOver(action);
  return nextChosen(c, change, tokens.gt(0)).div(tokens).to(c.token).mul(c.mask);
}

/** Deviation over all trained tokens, divisor n − 1. */
const spread = (c: Context, x: Vec, eps: number): Vec =>
  x.to(c.token).stdOver(ALL, { ddof: 1, weight: c.mask }).add(eps);

export default defineRecipe({
  id: "infopo",
  paper: {
    title: "InfoPO: Information-Driven Policy Optimization for User-Centric Agents",
    source: "repo kfq20/InfoPO: verl/trainer/ppo/intrinsic_reward.py, core_algos.py",
  },
  stage: ["reward", "advantage"],
  describe: `For agents that may ask: a turn earns what the user's answer changed in the probability of the next action,
against the same history with the answer blanked. This intrinsic advantage is mixed in as far as the group's outcomes do
not discriminate. A group of one keeps its raw reward. The second forward pass is left out. State: epoch.`,
  formula: "A = A_out + beta0·e^{−decay·epoch}·σ(−std_g/gate_temperature)·scale·A_int",
  params: {
    beta0: number(0.1, "weight of the intrinsic advantage"),
    decay: number(0, "decay of the weight over epochs", { min: 0 }),
    epoch: optional(null, "epoch; null: rollout batches seen", { min: 0 }),
    gate_temperature: number(0.05, "softness of the gate", { min: 1e-9 }),
    baseline_std: number(1, "deviation of a group of one", { min: 0 }),
    eps: number(1e-6, "added to deviations", { min: 0 }),
    std: choice("unbiased", ["unbiased"], "deviations with divisor n − 1"),
  },
  fields: { logp_masked_feedback: "token" },
  trains: { refuse: "needs user turns and a second forward pass: supply turn and logp_masked_feedback over tokens" },
  state: { init: () => ({ epoch: 0 }), update: (c) => ({ epoch: (c.state["epoch"] as number) + 1 }) },
  advantage: (c, p) => {
    const gain = informationGain(c);
    const single = c.number(1, c.trajectory).sumOver(c.group).eq(1);
    const std = single.where(p.baseline_std, c.reward.stdOver(c.group, { ddof: 1 }));
    const centre = single.where(c.reward, c.reward.centreOver(c.group));
    const outcome = centre.div(std.add(p.eps));
    const intrinsic = zScore(gain, c.group, { eps: p.eps, weight: gain.ne(0) });
    const scale = spread(c, outcome, p.eps)
      .max(1)
      .div(spread(c, intrinsic, p.eps))
      .min(1);
    const gate = std.div(-p.gate_temperature).sigmoid();
    c.output("info_gain_token", gain);
    c.output("advantage_outcome", outcome);
    c.output("advantage_intrinsic", intrinsic);
    c.output("gate", gate.to(c.trajectory));
    c.output("scale", scale);
    const weight = p.beta0 * exp(-p.decay * (p.epoch ?? (c.state["epoch"] as number)));
    return intrinsic.mul(gate).mul(scale).mul(weight).add(outcome).mul(c.mask);
  },
  // Without lp_old the batch counts as sampled by the current policy.
  ratio: (c) => (c.has("logp_old") ? tokenRatio(c) : onPolicyRatio(c)),
});
