/**
 * @file Conflict tokens of GTPO (arXiv 2508.03772): the same token at the same place in better and worse completions of a
 * group, counted from the start and from the end of each completion, whatever its mask (the papers' completions have none).
 */
import type { Context } from "./context.ts";
import { members } from "./groups.ts";
import type { Vec } from "./vec.ts";

export interface Conflicts {
  /** Lengths of the unbroken runs of conflict tokens from the start and from the end, over trajectories. */
  forward: Vec;
  backward: Vec;
  /** Each run's tokens weigh `boost` in completions above the mean, 0 in those below; a token in both runs twice. */
  weight: Vec;
  /** Places below either run's length, counted from the start alone (how the released code counts them). */
  counted: Vec;
}

/** @param sign of each trajectory: above 0 better, below 0 worse; those at 0 take no part */
export function conflicts(c: Context, sign: Vec, boost: number): Conflicts {
  const side = sign.values();
  const tokens = c.field("tokens").values();
  const { offsets, lengths } = c.batch;
  const run = (i: number, others: readonly number[], at: (j: number, k: number) => number): number => {
    let k = 0;
    const same = (j: number): boolean => k < lengths[j] && tokens[at(j, k)] === tokens[at(i, k)];
    while (k < lengths[i] && others.some(same)) k++;
    return k;
  };
  const forward = new Float64Array(side.length);
  const backward = new Float64Array(side.length);
  const weight = new Float64Array(tokens.length).fill(1);
  const counted = new Float64Array(tokens.length);
  for (const group of members(c)) {
    for (const i of group) {
      if (side[i] === 0) continue;
      const others = group.filter((j) => side[i] * side[j] < 0);
      forward[i] = run(i, others, (j, k) => offsets[j] + k);
      backward[i] = run(i, others, (j, k) => offsets[j + 1] - 1 - k);
      const factor = side[i] > 0 ? boost : 0;
      for (let k = 0; k < lengths[i]; k++) {
        const t = offsets[i] + k;
        if (k < forward[i]) weight[t] *= factor;
        if (lengths[i] - 1 - k < backward[i]) weight[t] *= factor;
        if (k < forward[i] || k < backward[i]) counted[t] = 1;
      }
    }
  }
  const over = (data: Float64Array): Vec => c.lift(c.trajectory, data);
  return {
    forward: over(forward),
    backward: over(backward),
    weight: c.lift(c.token, weight),
    counted: c.lift(c.token, counted),
  };
}
