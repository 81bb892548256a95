/**
 * @file Reward shaping and combination, before any advantage.
 */
import type { Context } from "./context.ts";
import type { Vec } from "./vec.ts";

/** Overlong punishment of DAPO (arXiv 2503.14476): 0 up to limit − buffer, down to −1 at the limit, −1 beyond. Lengths in tokens. */
export function softOverlong(length: Vec, limit: number, buffer: number): Vec {
  const ramp = length.sub(limit - buffer).div(-buffer);
  return length.gt(limit).where(-1, ramp.min(0));
}

/** Σ_k w_k r_k over the rewards that are there, and 1 where at least one is. */
export function weightedSum(c: Context, weights: readonly number[]): { sum: Vec; present: Vec } {
  let sum = c.number(0, c.trajectory);
  let present = c.number(0, c.trajectory);
  c.rewards.forEach((reward, k) => {
    sum = sum.add(reward.value.mul(reward.present).mul(weights[k] ?? 1));
    present = present.max(reward.present);
  });
  return { sum, present };
}
