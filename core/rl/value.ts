/**
 * @file Losses of a value head, per token.
 */
import type { Vec } from "./vec.ts";

/** ½·max((V − ret)², (clip(V, V_old ± clip) − ret)²) (PPO, arXiv 1707.06347, as in its authors' code). */
export function clippedValueLoss(value: Vec, old: Vec, returns: Vec, clip: number): Vec {
  const near = value.clamp(old.sub(clip), old.add(clip));
  return value.sub(returns).square().max(near.sub(returns).square()).mul(0.5);
}
