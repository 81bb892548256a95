/**
 * @file Reward shaping and combination, before any advantage.
 */
import { CohortError } from "../errors.ts";
import type { Context } from "./context.ts";
import type { Vec } from "./vec.ts";

export { passAtK } from "../evaluate.ts";

/**
 * The reward of that name, over trajectories; 0 where it does not apply.
 *
 * @throws CohortError "bad-batch" naming the rewards there are
 */
export function namedReward(c: Context, name: string): Vec {
  const found = c.rewards.find((reward) => reward.name === name);
  if (found) return found.value.mul(found.present);
  throw new CohortError(
    "bad-batch",
    `namedReward: there is no reward '${name}' among ${c.rewards.map((reward) => reward.name).join(", ")}`,
    `supply a reward function of the name '${name}'`,
  );
}

/** The named rewards, in the order of the batch, or the one that the rollouts have under the name `reward`. */
export function eachReward(c: Context): Context["rewards"] {
  const named = [...c.batch.fields.keys()].some((name) => name.startsWith("rewards."));
  return named ? c.rewards : [{ name: "reward", value: c.reward, present: c.present("reward") }];
}

/** Overlong punishment of DAPO (arXiv 2503.14476): 0 up to limit − buffer, down to −1 at the limit, −1 beyond. Lengths in tokens. */
export function softOverlong(length: Vec, limit: number, buffer: number): Vec {
  const ramp = length.sub(limit - buffer).div(-buffer);
  return length.gt(limit).where(-1, ramp.min(0));
}

/**
 * Σ_k w_k f(r_k) over the rewards that are there, and 1 where at least one is.
 *
 * @param each what becomes of a reward before it is weighted (its `present` is 0 where it is missing)
 */
export function weightedSum(
  c: Context,
  weights: readonly number[],
  each: (reward: { value: Vec; present: Vec }) => Vec = (reward) => reward.value,
): { sum: Vec; present: Vec } {
  let sum = c.number(0, c.trajectory);
  let present = c.number(0, c.trajectory);
  c.rewards.forEach((reward, k) => {
    sum = sum.add(
      each(reward)
        .mul(reward.present)
        .mul(weights[k] ?? 1),
    );
    present = present.max(reward.present);
  });
  return { sum, present };
}

/**
 * The weights of the named rewards, in their order; null: 1 each.
 *
 * @throws CohortError "bad-config" where they are not one finite number a reward
 */
export function weightsOf(c: Context, given: unknown): number[] {
  const names = c.rewards.map((reward) => reward.name);
  if (given === null) return names.map(() => 1);
  const finite = Array.isArray(given) && given.every((w) => typeof w === "number" && w - w === 0);
  if (finite && given.length === names.length) return given;
  throw new CohortError(
    "bad-config",
    `weightsOf: weights ${JSON.stringify(given)} for the rewards ${names.join(", ")}`,
    "give one finite number a reward, in their order",
  );
}

/** Share of each trajectory's n-grams of token ids that have stood in it before; 0 where it has none. */
export function repeatedShare(c: Context, tokens: Vec, n: number): Vec {
  const ids = tokens.values();
  const offsets = c.batch.offsets;
  const shares = Array.from({ length: c.trajectory.size }, (_, i) => {
    const distinct = new Set<string>();
    const count = offsets[i + 1] - offsets[i] - n + 1;
    for (let t = offsets[i]; t < offsets[i] + count; t++) distinct.add(ids.subarray(t, t + n).join());
    return count > 0 ? 1 - distinct.size / count : 0;
  });
  return c.lift(c.trajectory, shares);
}
