/**
 * @file Filters: which trajectories and tokens take part, as 1s and 0s.
 */
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
    for (const i of list.sort((a, b) => values[b] - values[a] || a - b).slice(0, n)) keep[i] = 1;
  }
  return c.lift(x.level, keep);
}
