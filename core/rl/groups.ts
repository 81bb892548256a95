/**
 * @file Groups as lists: for outputs with one entry a prompt, and for work on one group after the other in plain JavaScript.
 */
import type { Context } from "./context.ts";
import type { Vec } from "./vec.ts";

/** Numbers of the groups in order of first appearance in the batch. */
export function groupOrder(c: Context): number[] {
  return [...new Set(c.trajectory.edge(c.group).index)];
}

/** One number a group, in order of first appearance. */
export function byAppearance(c: Context, x: Vec): number[] {
  const values = x.values();
  return groupOrder(c).map((g) => values[g]);
}

/** Trajectories of each group, ascending; the list is by group number. */
export function members(c: Context): number[][] {
  const lists: number[][] = Array.from({ length: c.group.size }, () => []);
  c.trajectory.edge(c.group).index.forEach((g, i) => {
    lists[g].push(i);
  });
  return lists;
}
