/**
 * @file Credit over time: token rewards, returns, generalised advantage estimation.
 *
 * Degenerate cases: tokens that are not trained are stepped over and have 0; a trajectory without a trained token has 0
 * everywhere, and its outcome reward goes nowhere.
 */
import type { Context } from "./context.ts";
import type { Vec } from "./vec.ts";

/** 1 on the last trained token of each trajectory. */
export function lastTrained(c: Context): Vec {
  const after = c.mask.cumulate(c.trajectory, "backward");
  return c.mask.mul(after.eq(1));
}

/** A reward per trajectory put on its last trained token. */
export function onLastToken(c: Context, reward: Vec): Vec {
  return lastTrained(c).mul(reward);
}

/**
 * r_t of the batch (`reward_token`), or where it has none the outcome reward on the last trained token less
 * beta·(lp_old − lp_ref) on every trained token.
 */
export function tokenReward(c: Context, beta = 0): Vec {
  const given = c.optional("reward_token");
  if (given) return given;
  const outcome = onLastToken(c, c.reward);
  return beta === 0 ? outcome : outcome.sub(c.logpOld.sub(c.logpRef).mul(c.mask).mul(beta));
}

/** G_t = r_t + gamma·G_{t+1} over trained tokens; other tokens are stepped over and have 0. */
export function returns(c: Context, reward: Vec, gamma = 1): Vec {
  // On a token that is not trained, G passes unchanged to the one before: decay 1 and no reward.
  const decay = c.mask.mul(gamma).add(c.mask.not());
  return c.mask.mul(reward).recur(c.trajectory, "backward", decay).mul(c.mask);
}

/**
 * Generalised advantage estimation (arXiv 1506.02438) over trained tokens: δ_t = r_t + gamma·V' − V_t with V' the value
 * at the next trained token, A_t = δ_t + gamma·lambda·A'. Other tokens are stepped over. Advantage and
 * returns are 0 there; `carried` is the advantage with what stands on those tokens: that of the next trained one.
 */
export function gae(
  c: Context,
  reward: Vec,
  value: Vec,
  gamma: number,
  lambda: number | Vec,
): { advantage: Vec; returns: Vec; carried: Vec } {
  const m = c.mask;
  const skip = m.not();
  const nextValue = m.mul(value).recur(c.trajectory, "backward", skip).shift(c.trajectory, -1);
  const delta = reward.add(nextValue.mul(gamma)).sub(value);
  const advantage = m.mul(delta).recur(c.trajectory, "backward", m.mul(gamma).mul(lambda).add(skip));
  return { advantage: advantage.mul(m), returns: advantage.add(value).mul(m), carried: advantage };
}
