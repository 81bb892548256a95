/**
 * @file Levels: token ⊂ turn ⊂ trajectory ⊂ group ⊂ stratum ⊂ batch, and any level made by keys.
 *
 * A level is a number of elements; an edge says which element of a coarser level each element of a finer one lies in.
 * Everything else (baselines, normalisers, ratios, aggregations) is a reduction along an edge or a spread back.
 */
import { CohortError } from "../errors.ts";

/** The map from a finer to a coarser level. `offsets` where the elements of each segment are contiguous and in order. */
export class Edge {
  readonly fine: Level;
  readonly coarse: Level;
  readonly offsets: Int32Array | undefined;
  #index: Int32Array | undefined;

  constructor(fine: Level, coarse: Level, map: { offsets: Int32Array } | { index: Int32Array }) {
    this.fine = fine;
    this.coarse = coarse;
    if ("offsets" in map) {
      this.offsets = map.offsets;
    } else {
      this.#index = map.index;
      this.offsets = offsetsOf(map.index, coarse.size);
    }
  }

  /** For each fine element, the coarse element it lies in. */
  get index(): Int32Array {
    if (this.#index === undefined) {
      const offsets = this.offsets as Int32Array;
      const index = new Int32Array(this.fine.size);
      for (let s = 0; s < this.coarse.size; s++) index.fill(s, offsets[s], offsets[s + 1]);
      this.#index = index;
    }
    return this.#index;
  }

  /** For each coarse element, how many fine elements lie in it. */
  get counts(): Float64Array {
    const counts = new Float64Array(this.coarse.size);
    if (this.offsets) for (let s = 0; s < counts.length; s++) counts[s] = this.offsets[s + 1] - this.offsets[s];
    else for (const s of this.index) counts[s]++;
    return counts;
  }
}

/** Offsets of a non-decreasing index, or undefined where it is not one. */
function offsetsOf(index: Int32Array, size: number): Int32Array | undefined {
  for (let i = 1; i < index.length; i++) if (index[i] < index[i - 1]) return undefined;
  const offsets = new Int32Array(size + 1);
  for (const s of index) offsets[s + 1]++;
  for (let s = 0; s < size; s++) offsets[s + 1] += offsets[s];
  return offsets;
}

let serial = 0;

export class Level {
  readonly name: string;
  readonly size: number;
  /** Distinguishes levels of one name. */
  readonly id: number;
  readonly #up: Edge[] = [];
  readonly #down: Edge[] = [];
  readonly #known = new Map<Level, Edge | null>();

  constructor(name: string, size: number) {
    this.name = name;
    this.size = size;
    this.id = serial++;
  }

  /** Declares that this level's elements lie in those of a coarser one. */
  link(coarse: Level, map: { offsets: Int32Array } | { index: Int32Array }): Level {
    const edge = new Edge(this, coarse, map);
    this.#up.push(edge);
    coarse.#down.push(edge);
    this.#known.set(coarse, edge);
    return this;
  }

  /** The map to a coarser level, composed over the levels between, or undefined where none leads there. */
  find(coarse: Level): Edge | undefined {
    const known = this.#known.get(coarse);
    if (known !== undefined) return known ?? undefined;
    let edge: Edge | undefined;
    if (coarse === ALL) edge = new Edge(this, ALL, { offsets: Int32Array.of(0, this.size) });
    else {
      this.#known.set(coarse, null);
      edge = this.#climb(coarse) ?? this.#lift(coarse);
    }
    this.#known.set(coarse, edge ?? null);
    return edge;
  }

  /** As find; throws where the levels are not nested. */
  edge(coarse: Level): Edge {
    const edge = this.find(coarse);
    if (!edge) {
      throw new CohortError(
        "bad-batch",
        `Level.edge: '${this.name}' does not lie inside '${coarse.name}'`,
        "reduce along nested levels only, or key one level by the other",
      );
    }
    return edge;
  }

  /**
   * Whether this level was declared to lie below the other: of two levels with the same elements (groups of one, one token
   * each) the finer one.
   */
  isBelow(coarse: Level): boolean {
    return this.#up.some((up) => up.coarse === coarse || up.coarse.isBelow(coarse));
  }

  #climb(coarse: Level): Edge | undefined {
    for (const up of this.#up) {
      const rest = up.coarse === coarse ? undefined : up.coarse.find(coarse);
      if (up.coarse === coarse) return up;
      if (!rest) continue;
      if (up.offsets && rest.offsets) {
        const inner = up.offsets;
        return new Edge(this, coarse, { offsets: rest.offsets.map((o) => inner[o]) });
      }
      const upper = rest.index;
      return new Edge(this, coarse, { index: up.index.map((s) => upper[s]) });
    }
    return undefined;
  }

  /** Through a common finer level: every element must fall into one coarse element. */
  #lift(coarse: Level): Edge | undefined {
    for (const down of this.#down) {
      const other = down.fine.find(coarse);
      if (!other) continue;
      const index = new Int32Array(this.size).fill(-1);
      const mine = down.index;
      const theirs = other.index;
      let nested = true;
      for (let e = 0; e < mine.length && nested; e++) {
        if (index[mine[e]] === -1) index[mine[e]] = theirs[e];
        else nested = index[mine[e]] === theirs[e];
      }
      if (nested && !index.includes(-1)) return new Edge(this, coarse, { index });
    }
    return undefined;
  }

  /**
   * A coarser level whose elements are the distinct tuples of the given keys, in order of first appearance:
   * `trajectory.keyed("role", role)`, `step.keyed("anchor", groupOfStep, anchorState)`.
   */
  keyed(name: string, ...keys: ArrayLike<number | string | boolean>[]): Level {
    for (const key of keys) {
      if (key.length !== this.size) {
        throw new CohortError(
          "bad-batch",
          `Level.keyed: '${name}' over '${this.name}' got ${key.length} keys for ${this.size} elements`,
          "give one key an element",
        );
      }
    }
    const seen = new Map<string | number | boolean, number>();
    const index = new Int32Array(this.size);
    for (let i = 0; i < this.size; i++) {
      const key = keys.length === 1 ? keys[0][i] : JSON.stringify(keys.map((k) => k[i]));
      let s = seen.get(key);
      if (s === undefined) {
        s = seen.size;
        seen.set(key, s);
      }
      index[i] = s;
    }
    const level = new Level(name, seen.size);
    this.link(level, { index });
    return level;
  }
}

/** The whole batch: one element, coarser than everything. */
export const ALL = new Level("batch", 1);
