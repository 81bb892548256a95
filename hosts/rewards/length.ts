/** @file Rewards for length, in tokens. To be weighted beside a reward for what is said. */
import type { RewardFunction } from "../../core/rewards/reward.ts";
import { checkOne, checkOptions, finite, functionOf, type Kind, tokens } from "./options.ts";

const another = functionOf("sample", "a number or null: a reward");
const orNull: Kind = { may: (x) => x === null || finite.may(x), give: "a number, or null" };

/**
 * 0 up to `max − buffer` tokens, then falling evenly to −1 at `max` and beyond (DAPO's soft overlong punishment,
 * arXiv 2503.14476, equation 13).
 */
export function lengthLimit(options: { max: number; buffer: number }): RewardFunction {
  checkOptions("lengthLimit", options, { max: tokens, buffer: tokens }, ["max", "buffer"]);
  const { max, buffer } = options;
  return ({ completionIds }) => -Math.min(1, Math.max(0, (completionIds.length - (max - buffer)) / buffer));
}

/** 1 at `tokens`, falling evenly to 0 at `tokens ± width`. */
export function lengthTarget(options: { tokens: number; width: number }): RewardFunction {
  checkOptions("lengthTarget", options, { tokens, width: tokens }, ["tokens", "width"]);
  const { tokens: wanted, width } = options;
  return ({ completionIds }) => Math.max(0, 1 - Math.abs(completionIds.length - wanted) / width);
}

/** `then` where `first` gives at least `from` (default 1), else `otherwise` (default 0): form before content, or the reverse. */
export function gated(
  first: RewardFunction,
  then: RewardFunction,
  options: { from?: number; otherwise?: number | null } = {},
): RewardFunction {
  checkOne("gated", "the first reward", first, another);
  checkOne("gated", "the second reward", then, another);
  checkOptions("gated", options, { from: finite, otherwise: orNull });
  const { from = 1, otherwise = 0 } = options;
  return async (sample) => {
    const passed = await first(sample);
    if (passed === null) return null;
    return passed >= from ? then(sample) : otherwise;
  };
}
