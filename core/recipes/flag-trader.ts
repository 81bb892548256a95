import { defineRecipe, number } from "../recipe.ts";
import type { Context } from "../rl/context.ts";
import { ppoClip } from "../rl/gate.ts";
import { klEstimate } from "../rl/kl.ts";
import { ALL } from "../rl/level.ts";
import { tokenRatio } from "../rl/ratio.ts";
import { clippedValueLoss } from "../rl/value.ts";
import type { Vec } from "../rl/vec.ts";

interface Account {
  cash0: number;
  rf: number;
  gamma: number;
  gae_lambda: number;
}

/** Profit of each step: sell (−1) and buy (1) move everything at the next price. */
function profits(c: Context, cash0: number): number[] {
  const price = c.raw<number[]>("price");
  let [cash, shares] = [cash0, 0];
  return Array.from(c.field("action").values(), (action, t) => {
    const before = cash + shares * price[t];
    if (action < 0) [cash, shares] = [cash + shares * price[t + 1], 0];
    if (action > 0) [cash, shares] = [0, shares + cash / price[t + 1]];
    return cash + shares * price[t + 1] - before;
  });
}

/** SR_t of everything up to each step, sample deviation; 0 before the second step and without a deviation. */
function runningSharpe(pnl: readonly number[], rf: number): number[] {
  let [mean, square] = [0, 0];
  return pnl.map((x, t) => {
    const off = x - mean;
    mean += off / (t + 1);
    square += off * (x - mean);
    const std = Math.sqrt(square / Math.max(1, t));
    return t < 1 || std < 1e-12 ? 0 : (mean - rf) / std;
  });
}

/** The reward (change of the Sharpe ratio), and GAE over the steps of the one episode. */
function estimate(c: Context, p: Account): { pnl: number[]; reward: Vec; raw: Vec; returns: Vec } {
  const pnl = profits(c, p.cash0);
  const sharpe = c.lift(c.trajectory, runningSharpe(pnl, p.rf));
  const reward = sharpe.sub(sharpe.shift(ALL, 1));
  const value = (c.optional("value_old") ?? c.value).stop();
  const delta = reward.add(value.shift(ALL, -1).mul(p.gamma)).sub(value);
  const raw = delta.recur(ALL, "backward", p.gamma * p.gae_lambda);
  return { pnl, reward, raw, returns: raw.add(value) };
}

export default defineRecipe({
  id: "flag-trader",
  paper: {
    title: "FLAG-Trader: Fusion LLM-Agent with Gradient-based Reinforcement Learning for Financial Trading",
    arxiv: "2502.11433",
  },
  stage: ["policy", "reward", "objective", "application"],
  describe: `PPO with a critic on one trading episode: each element is a step (sell, hold, buy everything), the reward the
change of the running Sharpe ratio, whitened GAE. Value clip where value_old is there, k3 where logp_ref is (the estimator
is our choice). Frozen layers, both heads, action masks and the market are left out.`,
  formula: "r_t = SR_t − SR_{t−1}; loss = mean PPO + vf_coef·mean(V − ret)² − ent_coef·mean H + kl_coef·k3",
  params: {
    gamma: number(0.95, "discount of a step", { min: 0, max: 1 }),
    gae_lambda: number(0.98, "decay of GAE", { min: 0, max: 1 }),
    clip: number(0.2, "clip range of ratio and value", { min: 0, max: 1 }),
    vf_coef: number(0.5, "weight of the value loss", { min: 0 }),
    ent_coef: number(0.05, "weight of the entropy bonus", { min: 0 }),
    kl_coef: number(0.05, "weight of k3, where logp_ref is given", { min: 0 }),
    rf: number(0, "risk-free profit of a step"),
    cash0: number(1000, "cash at the start", { min: 0 }),
  },
  fields: {
    price: "raw",
    action: "trajectory",
    value: "trajectory",
    value_old: "trajectory",
    logp: "trajectory",
    logp_old: "trajectory",
    logp_ref: "trajectory",
    entropy: "trajectory",
  },
  trains: {
    refuse: "needs a market and a critic: supply price, action, value, logp, logp_old and entropy of each step",
  },
  advantage: (c, p) => {
    const { pnl, reward, raw, returns } = estimate(c, p);
    c.output("pnl", pnl);
    c.output("reward_token", reward);
    c.output("advantage_raw", raw);
    c.output("returns", returns);
    return raw.centreOver(ALL).div(raw.stdOver(ALL, { ddof: 1 }).add(1e-8));
  },
  loss: (c, p) => {
    const { returns } = estimate(c, p);
    const policy = ppoClip(c, tokenRatio(c), c.advantage, { lo: p.clip, hi: p.clip }).meanOver(ALL);
    const old = c.optional("value_old") ?? c.value.stop();
    const value = clippedValueLoss(c.value, old, returns, p.clip).meanOver(ALL).mul(2);
    c.output("policy_loss", policy);
    c.output("value_loss", value);
    const loss = policy.add(value.mul(p.vf_coef)).sub(c.entropy.meanOver(ALL).mul(p.ent_coef));
    if (!c.has("logp_ref")) return loss;
    return loss.add(klEstimate(c.logp.sub(c.logpRef), "k3").meanOver(ALL).mul(p.kl_coef));
  },
});
