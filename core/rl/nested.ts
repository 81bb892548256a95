/**
 * @file Nested lists of numbers that are no field of a rollout ([prompt][rank][token], [state][action]) as vectors over
 * levels of their own, and back.
 */
import type { Context } from "./context.ts";
import { Level } from "./level.ts";
import type { Vec } from "./vec.ts";

export type Lists = readonly (number | Lists)[];

/**
 * A field as lists that the recipe reads by itself.
 *
 * @throws CohortError "bad-batch" where the batch holds one number an element in its place
 */
export function listsOf<T>(c: Context, name: string): T[] {
  const value = c.raw<T[]>(name);
  return Array.isArray(value) ? value : c.refuse(`listsOf: '${name}' is flat`, "give it as nested lists");
}

/**
 * Raw fields that must have one shape: lists of equal lengths, down to that depth.
 *
 * @throws CohortError "bad-batch" naming the field and place where a list is missing, or longer or shorter than the first
 *   field's
 */
export function sameShape(c: Context, depth: number, first: string, ...others: readonly string[]): void {
  const compare = (name: string, want: unknown, got: unknown, left: number, place: string): void => {
    const same = Array.isArray(want) && Array.isArray(got) && want.length === got.length;
    if (!same) {
      const count = Array.isArray(got) ? `${got.length} entries` : JSON.stringify(got);
      const of = Array.isArray(want) ? want.length : JSON.stringify(want);
      c.refuse(`sameShape: '${name}'${place} has ${count} for ${of} in '${first}'`, "give both one shape");
    }
    if (left === 1) return;
    (want as unknown[]).forEach((inner, k) => {
      compare(name, inner, (got as unknown[])[k], left - 1, `${place}[${k}]`);
    });
  };
  for (const name of others) compare(name, c.raw(first), c.raw(name), depth, "");
}

export interface Nested {
  /** Over the innermost level. */
  vec: Vec;
  /** One a depth of nesting, the outermost first. */
  levels: readonly Level[];
}

export interface NestedOptions {
  /** Whether a derivative may be asked for. */
  differentiate?: boolean;
  /** Levels of another nested list of the same outer shape, to compute with both together. */
  within?: readonly Level[];
  /** Depth of the lists, needed only where they may be empty (default: that of the first elements). */
  depth?: number;
}

function depthOf(lists: Lists): number {
  let depth = 1;
  for (let inner = lists.find(Array.isArray); inner; inner = (inner as Lists).find(Array.isArray)) depth++;
  return depth;
}

/**
 * Lists of numbers, nested to one depth everywhere, as a vector.
 *
 * @param name what messages call it
 * @throws CohortError "bad-batch" where the depth varies, something is not a finite number, or the shape is not `within`'s
 */
export function nested(c: Context, name: string, lists: Lists, options: NestedOptions = {}): Nested {
  if (!Array.isArray(lists)) c.refuse(`nested: '${name}' is no list`, "give nested lists of numbers");
  const depth = options.depth ?? depthOf(lists);
  const levels: Level[] = [];
  let row: readonly unknown[] = lists;
  for (let d = 0; d < depth; d++) {
    const known = options.within?.[d];
    if (known && known.size !== row.length) {
      c.refuse(`nested: '${name}' has ${row.length} entries at depth ${d} for ${known.size}`, "give both one shape");
    }
    const level = known ?? new Level(`${name} ${d}`, row.length);
    levels.push(level);
    if (d === depth - 1) break;
    const offsets = new Int32Array(row.length + 1);
    row.forEach((inner, k) => {
      if (!Array.isArray(inner))
        c.refuse(`nested: '${name}' has ${JSON.stringify(inner)} for a list`, "nest it evenly");
      offsets[k + 1] = offsets[k] + (inner as unknown[]).length;
    });
    row = (row as unknown[][]).flat();
    const next = options.within?.[d + 1] ?? new Level(`${name} ${d + 1}`, row.length);
    const other = next.find(level)?.offsets?.findIndex((start, k) => start !== offsets[k]) ?? -1;
    if (other >= 0) c.refuse(`nested: '${name}' has lists of other lengths at depth ${d + 1}`, "give both one shape");
    if (!next.find(level)) next.link(level, { offsets });
    options = { ...options, within: [...levels, next, ...(options.within?.slice(d + 2) ?? [])] };
  }
  const bad = row.findIndex((x) => typeof x !== "number" || x - x !== 0);
  if (bad >= 0) c.refuse(`nested: '${name}' has ${JSON.stringify(row[bad])} for a number`, "give finite numbers");
  const last = levels[depth - 1];
  const data = Float64Array.from(row as number[]);
  return { vec: options.differentiate ? c.graph.input(last, data) : c.graph.constant(last, data), levels };
}

/** Numbers over the innermost of the levels, as lists again (the inverse of `nested`). */
export function unnest(levels: readonly Level[], vec: Vec): Lists {
  let row: Lists = [...vec.values()];
  for (let d = levels.length - 1; d > 0; d--) {
    const { offsets, index } = levels[d].edge(levels[d - 1]);
    const inner = row;
    row = Array.from({ length: levels[d - 1].size }, (_, k) =>
      offsets ? inner.slice(offsets[k], offsets[k + 1]) : inner.filter((_, e) => index[e] === k),
    );
  }
  return row;
}

/**
 * The level of lists with one entry a step (their entries may be keys), one list a trajectory. Tokens are tied to it by
 * the field `turn` (0, 1, … in each trajectory), where the batch has that.
 */
export function listLevel(c: Context, name: string, lists: readonly (readonly unknown[])[], turn: string): Level {
  if (lists.length !== c.trajectory.size) {
    c.refuse(`listLevel: '${name}' has ${lists.length} lists for ${c.trajectory.size} trajectories`, "give one each");
  }
  const offsets = new Int32Array(lists.length + 1);
  lists.forEach((list, i) => {
    offsets[i + 1] = offsets[i] + list.length;
  });
  const step = new Level(name, offsets[lists.length]).link(c.trajectory, { offsets });
  if (!c.has(turn)) return step;
  const trajectory = c.token.edge(c.trajectory).index;
  const index = Int32Array.from(c.field(turn).values(), (k, t) => {
    const i = trajectory[t];
    if (!(k >= 0 && k < lists[i].length))
      c.refuse(`listLevel: '${name}' has no entry ${k} of trajectory ${i}`, "give one a turn");
    return offsets[i] + k;
  });
  c.token.link(step, { index });
  return step;
}
