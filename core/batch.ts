/**
 * @file Batch: trajectories of unequal length as flat arrays, with the levels that they fall into.
 *
 * A field is one Float64Array over one level: `logp` over tokens, `reward` over trajectories. Nothing is padded. A batch
 * is built from the typed arrays of a trainer (`Batch.from`) or from a case in JSON (`Batch.fromCase`), checked once, and
 * immutable from then on: `with` and `select` make new ones.
 */
import { bad, checkNumbers, makeLevels, trajectoryAt } from "./batch/check.ts";
import { type Field, type FieldRule, type Shape, STANDARD_FIELDS } from "./batch/fields.ts";
import { addRewards, addScalars, lengthsOf, readFields } from "./batch/read.ts";
import { nearest } from "./errors.ts";
import { ALL, Level } from "./rl/level.ts";

export { type Field, type Shape, STANDARD_FIELDS } from "./batch/fields.ts";

export class Batch {
  /** Generated tokens, all trajectories one after the other. */
  readonly token: Level;
  readonly trajectory: Level;
  /** Trajectories of one prompt. One group of all where the batch names none. */
  readonly group: Level;
  /** Vocabulary entries of each token, where the batch has logits. */
  readonly vocabulary: Level | undefined;
  /** Whether the batch says which trajectories form a group. */
  readonly grouped: boolean;
  readonly fields: ReadonlyMap<string, Field>;
  /** Fields kept as they came. */
  readonly raw: ReadonlyMap<string, unknown>;

  private constructor(
    levels: { token: Level; trajectory: Level; group: Level; vocabulary?: Level; grouped: boolean },
    fields: ReadonlyMap<string, Field>,
    raw: ReadonlyMap<string, unknown>,
  ) {
    this.token = levels.token;
    this.trajectory = levels.trajectory;
    this.group = levels.group;
    this.vocabulary = levels.vocabulary;
    this.grouped = levels.grouped;
    this.fields = fields;
    this.raw = raw;
  }

  /** Number of tokens of each trajectory. */
  get lengths(): Int32Array {
    const offsets = this.offsets;
    return Int32Array.from({ length: this.trajectory.size }, (_, i) => offsets[i + 1] - offsets[i]);
  }

  /** Trajectory i's tokens are offsets[i] … offsets[i+1]−1. */
  get offsets(): Int32Array {
    return this.token.edge(this.trajectory).offsets as Int32Array;
  }

  /** The trajectory that token `t` lies in. */
  trajectoryOf(t: number): number {
    return trajectoryAt(this.offsets, t);
  }

  /**
   * From typed arrays.
   *
   * @param lengths tokens of each trajectory (N)
   * @param group group of each trajectory: 0, 1, 2, … without gaps, in any order; absent: one group
   * @param rewards named rewards, one number a trajectory each; null where a reward does not apply
   * @param fields numbers by name; the level is told by the count (token or trajectory), by `shapes` where that is unclear
   * @throws CohortError "bad-batch" naming field, trajectory and token
   */
  static from(given: {
    lengths: ArrayLike<number>;
    group?: ArrayLike<number>;
    fields: Record<string, ArrayLike<number | null>>;
    rewards?: Record<string, readonly (number | null)[]>;
    shapes?: Record<string, "token" | "trajectory">;
    raw?: Record<string, unknown>;
  }): Batch {
    const levels = makeLevels(given.lengths, given.group);
    const fields = new Map<string, Field>();
    for (const [name, data] of Object.entries(given.fields)) {
      const shapes = given.shapes?.[name]
        ? [given.shapes[name]]
        : (STANDARD_FIELDS[name]?.shape ?? ["token", "trajectory"]);
      const level = shapes
        .map((shape) => (shape === "token" ? levels.token : levels.trajectory))
        .find((l) => l.size === data.length);
      if (!level) {
        throw bad(
          `Batch.from: field '${name}' has ${data.length} numbers for ${levels.token.size} tokens in ${levels.trajectory.size} trajectories`,
          "give one number a token or one a trajectory",
        );
      }
      const offsets = levels.token.edge(levels.trajectory).offsets as Int32Array;
      if (STANDARD_FIELDS[name]?.nullable && Array.isArray(data)) {
        addScalars(fields, name, level, data, offsets, true);
        continue;
      }
      const numbers = data instanceof Float64Array ? data : new Float64Array(data as ArrayLike<number>);
      checkNumbers(name, level, numbers, offsets);
      fields.set(name, { level, data: numbers });
    }
    if (given.rewards) {
      addRewards(fields, levels.trajectory, given.rewards, levels.token.edge(levels.trajectory).offsets as Int32Array);
    }
    return new Batch(levels, fields, new Map(Object.entries(given.raw ?? {})));
  }

  /**
   * From the `batch` object of a case (arrays of arrays).
   *
   * @param declared fields beyond the standard ones, with their shape
   * @throws CohortError "bad-batch" naming field, trajectory and token
   */
  static fromCase(json: Record<string, unknown>, declared: Readonly<Record<string, Shape>> = {}): Batch {
    const ruleOf = rulesWith(declared);
    const lengths = lengthsOf(json, ruleOf);
    const group = json["group"] === undefined || ruleOf("group").shape[0] === "raw" ? undefined : json["group"];
    if (group !== undefined && !Array.isArray(group))
      throw bad("Batch.fromCase: 'group' is not a list", "give one group a trajectory");
    const levels = makeLevels(lengths, group as number[] | undefined);
    const fields = new Map<string, Field>();
    const raw = new Map<string, unknown>();
    const vocabulary = readFields(json, levels, ruleOf, fields, raw);
    return new Batch({ ...levels, vocabulary }, fields, raw);
  }

  /**
   * The same batch with more fields in the form that a case has them.
   *
   * @param declared the shape of those that are not standard
   * @throws CohortError "bad-batch" naming field, trajectory and token
   */
  withCase(json: Readonly<Record<string, unknown>>, declared: Readonly<Record<string, Shape>> = {}): Batch {
    const [fields, raw] = [new Map(this.fields), new Map(this.raw)];
    const vocabulary = readFields(json, this, rulesWith(declared), fields, raw);
    return new Batch({ ...this.#levels, vocabulary }, fields, raw);
  }

  /** The same batch with rows over a vocabulary of V, [T, V] one after the other. */
  withRows(rows: Readonly<Record<string, ArrayLike<number>>>, V: number): Batch {
    const T = this.token.size;
    const offsets = Int32Array.from({ length: T + 1 }, (_, t) => t * V);
    const level = this.vocabulary ?? new Level("vocabulary", T * V).link(this.token, { offsets });
    const named = Object.entries(rows).map(([name, data]) => {
      if (data.length === level.size) return [name, { level, data: Float64Array.from(data) }] as const;
      throw bad(`Batch.withRows: '${name}' has ${data.length} numbers for ${T} rows of ${V}`, "give one an entry");
    });
    return new Batch({ ...this.#levels, vocabulary: level }, new Map([...this.fields, ...named]), this.raw);
  }

  get #levels() {
    const { token, trajectory, group, vocabulary, grouped } = this;
    return { token, trajectory, group, vocabulary, grouped };
  }

  /** The same batch with more fields (or others in place of those of the same name). */
  with(more: Record<string, Field>): Batch {
    return new Batch(this, new Map([...this.fields, ...Object.entries(more)]), this.raw);
  }

  /**
   * The given trajectories, in the given order, as a batch of their own. Groups are numbered anew in order of first
   * appearance; raw fields stay as they are.
   */
  select(trajectories: ArrayLike<number>): Batch {
    const from = this.offsets;
    const n = trajectories.length;
    const lengths = new Int32Array(n);
    for (let k = 0; k < n; k++) {
      const i = trajectories[k];
      if (!(i >= 0 && i < this.trajectory.size)) {
        throw bad(
          `Batch.select: trajectory ${i} of ${this.trajectory.size}`,
          "select indices of trajectories that exist",
        );
      }
      lengths[k] = from[i + 1] - from[i];
    }
    const groupOf = this.trajectory.edge(this.group).index;
    const kept: number[] = [];
    const renamed = new Map<number, number>();
    const group = new Int32Array(n);
    for (let k = 0; k < n; k++) {
      const g = groupOf[trajectories[k]];
      let now = renamed.get(g);
      if (now === undefined) {
        now = kept.length;
        renamed.set(g, now);
        kept.push(g);
      }
      group[k] = now;
    }
    const levels = makeLevels(lengths, group);
    const grouped = { ...levels, grouped: this.grouped };
    const made = new Map<Level, Level>([
      [this.token, levels.token],
      [this.trajectory, levels.trajectory],
      [this.group, levels.group],
      [ALL, ALL],
    ]);
    const sizes = new Map<Level, Int32Array>();
    const fields = new Map<string, Field>();
    for (const [name, { level, data }] of this.fields) {
      if (level === ALL) {
        fields.set(name, { level, data });
        continue;
      }
      if (level === this.group) {
        fields.set(name, { level: levels.group, data: Float64Array.from(kept, (g) => data[g]) });
        continue;
      }
      if (level === this.trajectory) {
        fields.set(name, {
          level: levels.trajectory,
          data: Float64Array.from({ length: n }, (_, k) => data[trajectories[k]]),
        });
        continue;
      }
      const offsets = level.edge(this.trajectory).offsets as Int32Array;
      let total = 0;
      for (let k = 0; k < n; k++) total += offsets[trajectories[k] + 1] - offsets[trajectories[k]];
      const part = new Float64Array(total);
      let at = 0;
      for (let k = 0; k < n; k++) {
        const i = trajectories[k];
        part.set(data.subarray(offsets[i], offsets[i + 1]), at);
        at += offsets[i + 1] - offsets[i];
      }
      let target = made.get(level);
      if (!target) {
        target = new Level(level.name, total);
        const bounds = new Int32Array(n + 1);
        for (let k = 0; k < n; k++) bounds[k + 1] = bounds[k] + offsets[trajectories[k] + 1] - offsets[trajectories[k]];
        if (level === this.vocabulary) {
          const rows = sizes.get(level) ?? level.edge(this.token).offsets!;
          const inner = new Int32Array(levels.token.size + 1);
          let t = 0;
          for (let k = 0; k < n; k++) {
            for (let u = from[trajectories[k]]; u < from[trajectories[k] + 1]; u++, t++)
              inner[t + 1] = inner[t] + rows[u + 1] - rows[u];
          }
          target.link(levels.token, { offsets: inner });
        } else target.link(levels.trajectory, { offsets: bounds });
        made.set(level, target);
      }
      fields.set(name, { level: target, data: part });
    }
    const vocabulary = this.vocabulary ? made.get(this.vocabulary) : undefined;
    return new Batch({ ...grouped, vocabulary }, fields, this.raw);
  }

  /** Arrays of arrays (or a flat list, where the level is a trajectory's or coarser), as a case has them. */
  nest(level: Level, data: ArrayLike<number>): unknown {
    if (level === ALL) return data[0];
    if (level === this.vocabulary) {
      const rows = level.edge(this.token).offsets as Int32Array;
      const offsets = this.offsets;
      return Array.from({ length: this.trajectory.size }, (_, i) =>
        Array.from({ length: offsets[i + 1] - offsets[i] }, (_, t) =>
          Array.from(
            { length: rows[offsets[i] + t + 1] - rows[offsets[i] + t] },
            (_, v) => data[rows[offsets[i] + t] + v],
          ),
        ),
      );
    }
    // A coarser level of one trajectory each looks like one inside trajectories: what was declared decides.
    const flat = level === this.trajectory || this.trajectory.isBelow(level);
    const inside = flat ? undefined : level.find(this.trajectory);
    if (!inside?.offsets) return Array.from(data);
    const offsets = inside.offsets;
    return Array.from({ length: this.trajectory.size }, (_, i) =>
      Array.from({ length: offsets[i + 1] - offsets[i] }, (_, t) => data[offsets[i] + t]),
    );
  }
}

/** What is known of each field: its own rule, that of the recipe, or a refusal with the nearest name. */
function rulesWith(declared: Readonly<Record<string, Shape>>): (name: string) => FieldRule {
  return (name) => {
    if (name in declared) return { ...STANDARD_FIELDS[name], shape: [declared[name]], declared: true };
    const rule = STANDARD_FIELDS[name];
    if (rule) return rule;
    const guess = nearest(name, [...Object.keys(STANDARD_FIELDS), ...Object.keys(declared)]);
    throw bad(
      `Batch.fromCase: unknown field '${name}'`,
      guess ? `did you mean '${guess}'?` : "leave it out, or declare it in the recipe's `fields`",
    );
  };
}
