/**
 * @file Turns inside a trajectory: the steps of an agent, and runs of tokens that share a value.
 */
import type { Context } from "./context.ts";
import type { Level } from "./level.ts";
import type { Vec } from "./vec.ts";

/** The turns of the field `turn`, or where the batch has none, each trajectory as its one turn. */
export function turnsOf(c: Context): Level {
  return c.has("turn") ? c.turn() : c.trajectory;
}

/** Maximal runs of trained tokens with equal x inside a trajectory; other tokens are stepped over. */
export function equalRuns(c: Context, name: string, x: Vec): Level {
  const trajectory = c.token.edge(c.trajectory).index;
  const [values, mask] = [x.to(c.token).values(), c.mask.values()];
  const run = new Int32Array(values.length);
  let last = -1;
  for (let t = 0, k = 0; t < values.length; t++) {
    const other = last < 0 || trajectory[last] !== trajectory[t] || values[last] !== values[t];
    if (mask[t] !== 0) {
      if (other) k++;
      last = t;
    }
    run[t] = k;
  }
  return c.keyed(name, c.token, trajectory, run);
}

/** The value of the next element of x's level with weight 1 in its trajectory; 0 after the last. */
export function nextChosen(c: Context, x: Vec, where: Vec): Vec {
  if (x.level === c.trajectory) return c.number(0, c.trajectory);
  return where.mul(x).recur(c.trajectory, "backward", where.not()).shift(c.trajectory, -1);
}

/** Maximal runs of neighbouring tokens with one mask inside a trajectory: actions, and what stands between them. */
export function trainedRuns(c: Context): Level {
  const trajectory = c.token.edge(c.trajectory).index;
  const mask = c.mask.values();
  let run = 0;
  const runs = Int32Array.from(mask, (m, t) => {
    if (t > 0 && (trajectory[t] !== trajectory[t - 1] || (m !== 0) !== (mask[t - 1] !== 0))) run++;
    return run;
  });
  return c.keyed("run", c.token, runs);
}

/** The level of segments that start at the given places (0 the first token) of each trajectory. */
export function segmentsAt(c: Context, name: string, starts: readonly (readonly number[])[]): Level {
  const { offsets } = c.batch;
  const ids = new Int32Array(c.token.size);
  let segment = -1;
  starts.forEach((list, i) => {
    const begins = new Set([0, ...list]);
    for (let t = offsets[i]; t < offsets[i + 1]; t++) {
      if (begins.has(t - offsets[i])) segment++;
      ids[t] = segment;
    }
  });
  return c.keyed(name, c.token, ids);
}
