/** @file Rewards for length, in tokens. To be weighted beside a reward for what is said. */
import { CohortError } from "../../core/errors.ts";
import type { RewardFunction } from "../../core/rewards/reward.ts";

function positive(name: string, value: number, where: string): void {
  if (!(value > 0) || !Number.isFinite(value)) {
    throw new CohortError("bad-reward", `${where}: ${name} is ${value}`, "give a number of tokens above 0");
  }
}

/**
 * 0 up to `max − buffer` tokens, then falling evenly to −1 at `max` and beyond (DAPO's soft overlong punishment,
 * arXiv 2503.14476, equation 13).
 */
export function lengthLimit({ max, buffer }: { max: number; buffer: number }): RewardFunction {
  positive("max", max, "lengthLimit");
  positive("buffer", buffer, "lengthLimit");
  return ({ completionIds }) => -Math.min(1, Math.max(0, (completionIds.length - (max - buffer)) / buffer));
}

/** 1 at `tokens`, falling evenly to 0 at `tokens ± width`. */
export function lengthTarget({ tokens, width }: { tokens: number; width: number }): RewardFunction {
  positive("tokens", tokens, "lengthTarget");
  positive("width", width, "lengthTarget");
  return ({ completionIds }) => Math.max(0, 1 - Math.abs(completionIds.length - tokens) / width);
}

/** `then` where `first` gives at least `from` (default 1), else `otherwise` (default 0): form before content, or the reverse. */
export function gated(
  first: RewardFunction,
  then: RewardFunction,
  options: { from?: number; otherwise?: number | null } = {},
): RewardFunction {
  const { from = 1, otherwise = 0 } = options;
  return async (sample) => {
    const passed = await first(sample);
    if (passed === null) return null;
    return passed >= from ? then(sample) : otherwise;
  };
}
