/**
 * @file What a batch refuses: numbers that are not finite, log-probabilities above 0, counts and groups that do not fit.
 */
import { CohortError } from "../errors.ts";
import { engine } from "../rl/engine.ts";
import { Level } from "../rl/level.ts";
import { STANDARD_FIELDS } from "./fields.ts";

/** Tolerance for log-probabilities that rounding has pushed above 0. */
const LOGP_SLACK = 1e-6;

/** Numbers handed to the core at once: half a megabyte stays in the second-level cache. */
const CHUNK = 65536;

export function bad(message: string, remedy: string): CohortError {
  return new CohortError("bad-batch", message, remedy);
}

export function makeLevels(
  lengths: ArrayLike<number>,
  group: ArrayLike<number> | undefined,
): { token: Level; trajectory: Level; group: Level; grouped: boolean } {
  const n = lengths.length;
  const offsets = new Int32Array(n + 1);
  for (let i = 0; i < n; i++) {
    if (!Number.isInteger(lengths[i]) || lengths[i] < 0) {
      throw bad(`Batch: 'length' of trajectory ${i} is ${lengths[i]}`, "give a token count of 0 or more");
    }
    offsets[i + 1] = offsets[i] + lengths[i];
  }
  const trajectory = new Level("trajectory", n);
  const token = new Level("token", offsets[n]).link(trajectory, { offsets });
  if (group === undefined) {
    const one = new Level("group", n > 0 ? 1 : 0);
    trajectory.link(one, { index: new Int32Array(n) });
    return { token, trajectory, group: one, grouped: false };
  }
  if (group.length !== n)
    throw bad(`Batch: 'group' has ${group.length} entries for ${n} trajectories`, "give one group a trajectory");
  const index = Int32Array.from(group);
  let size = 0;
  for (let i = 0; i < n; i++) {
    if (index[i] !== group[i] || index[i] < 0) {
      throw bad(`Batch: 'group' of trajectory ${i} is ${group[i]}`, "number the groups 0, 1, 2, …");
    }
    size = Math.max(size, index[i] + 1);
  }
  const seen = new Uint8Array(size);
  for (const g of index) seen[g] = 1;
  const gap = seen.indexOf(0);
  if (gap >= 0)
    throw bad(
      `Batch: group ids go to ${size - 1}, but no trajectory has group ${gap}`,
      "number the groups 0, 1, 2, … without gaps",
    );
  const level = new Level("group", size);
  trajectory.link(level, { index });
  return { token, trajectory, group: level, grouped: true };
}

/** The trajectory that token `t` lies in. */
export function trajectoryAt(offsets: Int32Array, t: number): number {
  let lo = 0;
  let hi = offsets.length - 2;
  while (lo < hi) {
    const mid = (lo + hi + 1) >>> 1;
    if (offsets[mid] <= t) lo = mid;
    else hi = mid - 1;
  }
  return lo;
}

/** Position of the first number that is not finite or above the limit, or -1. */
function firstFault(data: Float64Array, limit: number): number {
  const core = engine();
  const mark = core.mark();
  const address = core.allocate(Math.min(CHUNK, data.length));
  try {
    for (let from = 0; from < data.length; from += CHUNK) {
      const part = data.subarray(from, from + CHUNK);
      core.f64(address, part.length).set(part);
      const at = core.kernels.firstFault(address, part.length, limit);
      if (at >= 0) return from + at;
    }
    return -1;
  } finally {
    core.release(mark);
  }
}

/**
 * @param offsets of trajectories over tokens, to name the place
 * @param unit what the level's elements are called, where they are no tokens
 * @param unlimited take any number, also where the standard field of that name is a log-probability
 * @throws CohortError "bad-batch" naming field, trajectory and token
 */
export function checkNumbers(
  name: string,
  level: Level,
  data: Float64Array,
  offsets: Int32Array,
  unit = "",
  unlimited = false,
): void {
  const limited = STANDARD_FIELDS[name]?.logProbability && !unlimited;
  const k = firstFault(data, limited ? LOGP_SLACK : Number.POSITIVE_INFINITY);
  if (k < 0) return;
  const x = data[k];
  let where = `${unit || level.name} ${k}`;
  if (!unit && offsets[offsets.length - 1] === data.length && level.name !== "trajectory") {
    const i = trajectoryAt(offsets, k);
    where = `trajectory ${i}, token ${k - offsets[i]}`;
  }
  if (x - x === 0)
    throw bad(`Batch: field '${name}', ${where}: log-probability ${x} is above 0`, "give natural-log probabilities");
  throw bad(`Batch: field '${name}', ${where}: ${x}`, "give finite numbers only");
}
