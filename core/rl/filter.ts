/**
 * @file Filters: which trajectories and tokens take part, as 1s and 0s.
 *
 * Degenerate cases: a group of one is not mixed (unless singles are kept); a quantile of nothing is 0; of ties the earlier
 * element comes first; asking for more than there is gives all.
 */

import { philox } from "../rng.ts";
import type { Context } from "./context.ts";
import { ALL, type Level } from "./level.ts";
import type { Vec } from "./vec.ts";

/** Trajectories of groups whose rewards are not all equal; `keepSingles`: a group of one stays (verl). */
export function mixedGroups(c: Context, reward: Vec, { keepSingles = false } = {}): Vec {
  const mixed = reward.maxOver(c.group).ne(reward.minOver(c.group));
  const single = reward.countOver(c.group).le(1);
  return (keepSingles ? mixed.or(single) : mixed).to(c.trajectory);
}

/** Trajectories of groups with lo < mean < hi, strict on both sides. */
export function meanWithin(c: Context, x: Vec, lo: number, hi: number): Vec {
  const mean = x.meanOver(c.group);
  return mean.gt(lo).and(mean.lt(hi)).to(c.trajectory);
}

/**
 * Groups in which x lies in [lo, hi] at every trained token (at every trajectory, where the batch has no tokens); 0 for a
 * group without any.
 */
export function insideEverywhere(c: Context, x: Vec, lo: number, hi: number): Vec {
  const level = c.token.size > 0 ? c.token : c.trajectory;
  const counts = level === c.token ? c.mask : c.number(1, level);
  const inside = x.to(level).inside(lo, hi).mul(counts).sumOver(c.group);
  const all = counts.sumOver(c.group);
  return inside.eq(all).and(all.gt(0));
}

/** Share `q` quantile (linear interpolation) of x over the elements with weight 1, as a batch-level constant. */
export function quantileWhere(c: Context, x: Vec, where: Vec, q: number): Vec {
  const mask = where.to(x.level).values();
  const chosen = [...x.stop().values()].filter((_, i) => mask[i] !== 0).sort((a, b) => a - b);
  if (chosen.length === 0) return c.number(0);
  const at = q * (chosen.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, chosen.length - 1);
  return c.lift(ALL, [chosen[below] + (chosen[above] - chosen[below]) * (at - below)]);
}

/** The n largest of x among the elements with weight 1 (ties: the earlier first), in each segment of a level. */
export function largest(c: Context, x: Vec, n: number, level: Level = ALL, where?: Vec): Vec {
  const values = x.stop().values();
  const mask = where?.to(x.level).values();
  const segment = x.level.edge(level).index;
  const bySegment = new Map<number, number[]>();
  for (let i = 0; i < values.length; i++) {
    if (mask && mask[i] === 0) continue;
    const list = bySegment.get(segment[i]) ?? [];
    bySegment.set(segment[i], list);
    list.push(i);
  }
  const keep = new Float64Array(values.length);
  for (const list of bySegment.values()) {
    // Numbers alone sort several times as fast as places compared by them: rows over a vocabulary are long.
    const take = Math.min(Math.trunc(n), list.length);
    if (take < 1) continue;
    const least = Float64Array.from(list, (i) => values[i]).sort()[list.length - take];
    let ties = take;
    for (const i of list) {
      if (!(values[i] > least)) continue;
      keep[i] = 1;
      ties--;
    }
    for (const i of list) if (values[i] === least && ties-- > 0) keep[i] = 1;
  }
  return c.lift(x.level, keep);
}

/**
 * n of the elements with weight 1, drawn uniformly: those whose numbers x and y have the smallest hash. The draw is the
 * same in any order of trajectories, and another one as soon as the policy has moved.
 */
export function drawn(c: Context, among: Vec, n: number, x: Vec, y: Vec): Vec {
  const candidate = among.values();
  const words = (v: Vec): Uint32Array => new Uint32Array(v.stop().to(among.level).values().slice().buffer);
  const [xs, ys] = [words(x), words(y)];
  const key = (i: number): number => philox(xs[2 * i], xs[2 * i + 1], ys[2 * i], ys[2 * i + 1], 0, 0)[0];
  const list = [...candidate.keys()].filter((i) => candidate[i] !== 0).map((i) => ({ i, key: key(i) }));
  const chosen = new Float64Array(candidate.length);
  for (const { i } of list.sort((a, b) => a.key - b.key || a.i - b.i).slice(0, n)) chosen[i] = 1;
  return c.lift(among.level, chosen);
}

/**
 * The trained tokens that stay when those of largest x go first, as few as needed for the mean of the rest to fall below
 * the threshold; only the smallest where no mean does.
 */
export function untilMeanBelow(c: Context, x: Vec, threshold: number): Vec {
  const values = x.stop().values();
  const mask = c.mask.values();
  const order = [...values.keys()].filter((t) => mask[t] !== 0).sort((a, b) => values[a] - values[b] || b - a);
  const keep = new Float64Array(values.length);
  let sum = 0;
  let last = Math.min(1, order.length);
  order.forEach((t, k) => {
    sum += values[t];
    if (sum / (k + 1) < threshold) last = k + 1;
  });
  for (const t of order.slice(0, last)) keep[t] = 1;
  return c.lift(c.token, keep);
}

/**
 * The n elements of greatest population variance: always the k smallest and the n − k largest for some k (ties in order of
 * position; the first k of the best).
 */
export function widestSubset(c: Context, x: Vec, n: number): Vec {
  const values = x.values();
  const order = Array.from(values.keys()).sort((a, b) => values[a] - values[b] || a - b);
  const size = Math.max(0, Math.min(n, order.length));
  // Sums of the k smallest, of the values less the median so that their squares keep their digits.
  const middle = order.length > 0 ? values[order[order.length >> 1]] : 0;
  const sums = new Float64Array(order.length + 1);
  const squares = new Float64Array(order.length + 1);
  order.forEach((i, k) => {
    const d = values[i] - middle;
    sums[k + 1] = sums[k] + d;
    squares[k + 1] = squares[k] + d * d;
  });
  const total = (prefix: Float64Array, k: number): number =>
    prefix[k] + (prefix[order.length] - prefix[order.length - (size - k)]);
  let best = 0;
  let most = -1;
  for (let k = 0; k <= size; k++) {
    const sum = total(sums, k);
    const variance = size * total(squares, k) - sum * sum;
    if (!(variance > most)) continue;
    most = variance;
    best = k;
  }
  const keep = new Float64Array(values.length);
  for (const i of order.slice(0, best)) keep[i] = 1;
  for (const i of order.slice(order.length - (size - best))) keep[i] = 1;
  return c.lift(x.level, keep);
}
