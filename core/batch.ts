/**
 * @file Batch: trajectories of unequal length as flat arrays, with the levels that they fall into.
 *
 * A field is one Float64Array over one level: `logp` over tokens, `reward` over trajectories. Nothing is padded. A batch
 * is built from the typed arrays of a trainer (`Batch.from`) or from a case in JSON (`Batch.fromCase`), checked once, and
 * immutable from then on: `with` and `select` make new ones.
 */
import { CohortError, nearest } from "./errors.ts";
import { ALL, Level } from "./rl/level.ts";

/** How a field lies: over a level, as a table of vocabulary rows a token, ragged in its own way, or unread JSON. */
export type Shape = "token" | "trajectory" | "group" | "batch" | "vocabulary" | "ragged" | "raw";

export interface Field {
  level: Level;
  data: Float64Array;
}

interface FieldRule {
  shape: readonly Shape[];
  /** A log-probability: refused above 1e-6. */
  logProbability?: boolean;
  /** null stands for "not applicable"; the field `<name>.present` tells which are there. */
  nullable?: boolean;
}

/** The fields that any recipe may read; further ones are declared by the recipe that reads them. */
export const STANDARD_FIELDS: Readonly<Record<string, FieldRule>> = {
  group: { shape: ["trajectory"] },
  length: { shape: ["trajectory"] },
  reward: { shape: ["trajectory"], nullable: true },
  rewards: { shape: ["raw"] },
  reward_token: { shape: ["token"] },
  mask: { shape: ["token"] },
  logp: { shape: ["token"], logProbability: true },
  logp_old: { shape: ["token"], logProbability: true },
  logp_ref: { shape: ["token"], logProbability: true },
  logp_rollout: { shape: ["token"], logProbability: true },
  entropy: { shape: ["token"] },
  value: { shape: ["token"] },
  value_old: { shape: ["token"] },
  advantage: { shape: ["token", "trajectory"] },
  return: { shape: ["token", "trajectory"] },
  weight: { shape: ["token", "trajectory"] },
  keep: { shape: ["trajectory"] },
  keep_token: { shape: ["token"] },
  turn: { shape: ["token"] },
  tokens: { shape: ["token"] },
  correct: { shape: ["trajectory"] },
  truncated: { shape: ["trajectory"] },
  logits: { shape: ["vocabulary"] },
  logits_ref: { shape: ["vocabulary"] },
  seq_logp: { shape: ["trajectory"] },
  seq_logp_ref: { shape: ["trajectory"] },
  difficulty: { shape: ["trajectory"] },
  pairs: { shape: ["raw"] },
  prompt_stats: { shape: ["raw"] },
  step_state: { shape: ["raw"] },
};

/** Tolerance for log-probabilities that rounding has pushed above 0. */
const LOGP_SLACK = 1e-6;

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
      const numbers = data instanceof Float64Array ? data : Float64Array.from(data as ArrayLike<number>);
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
    const ruleOf = (name: string): FieldRule => {
      if (name in declared) return { ...STANDARD_FIELDS[name], shape: [declared[name]] };
      const rule = STANDARD_FIELDS[name];
      if (rule) return rule;
      const guess = nearest(name, [...Object.keys(STANDARD_FIELDS), ...Object.keys(declared)]);
      throw bad(
        `Batch.fromCase: unknown field '${name}'`,
        guess ? `did you mean '${guess}'?` : "leave it out, or declare it in the recipe's `fields`",
      );
    };
    const lengths = lengthsOf(json, ruleOf);
    const group = json["group"] === undefined || ruleOf("group").shape[0] === "raw" ? undefined : json["group"];
    if (group !== undefined && !Array.isArray(group))
      throw bad("Batch.fromCase: 'group' is not a list", "give one group a trajectory");
    const levels = makeLevels(lengths, group as number[] | undefined);
    const fields = new Map<string, Field>();
    const raw = new Map<string, unknown>();
    const offsets = levels.token.edge(levels.trajectory).offsets as Int32Array;
    let vocabulary: Level | undefined;
    for (const [name, value] of Object.entries(json)) {
      if (name === "group") continue;
      const rule = ruleOf(name);
      raw.set(name, value);
      if (rule.shape[0] === "raw") {
        if (name === "rewards" && !("rewards" in declared)) addRewards(fields, levels.trajectory, value, offsets);
        continue;
      }
      const shape = rule.shape.length === 1 ? rule.shape[0] : isNested(value) ? "token" : "trajectory";
      if (shape === "vocabulary") {
        const field = vocabularyField(name, value, levels.token, lengths, vocabulary);
        vocabulary = field.level;
        fields.set(name, field);
      } else if (shape === "ragged") {
        fields.set(name, raggedField(name, value, levels.trajectory));
      } else if (shape === "token") {
        const data = flatten(name, value, lengths);
        // A recipe that declares a standard field takes it as any number.
        checkNumbers(name, levels.token, data, offsets, "", name in declared);
        fields.set(name, { level: levels.token, data });
      } else {
        const level = shape === "batch" ? ALL : shape === "group" ? levels.group : levels.trajectory;
        const list = shape === "batch" && !Array.isArray(value) ? [value] : value;
        if (!Array.isArray(list) || list.length !== level.size) {
          const count = Array.isArray(list) ? `${list.length} entries` : `${JSON.stringify(list)}`;
          throw bad(
            `Batch.fromCase: field '${name}' has ${count} for ${level.size} of '${level.name}'`,
            `give one number a ${level.name}`,
          );
        }
        addScalars(fields, name, level, list, offsets, rule.nullable ?? false);
      }
    }
    return new Batch({ ...levels, vocabulary }, fields, raw);
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
    const inside = level === this.trajectory || level === this.group ? undefined : level.find(this.trajectory);
    if (!inside?.offsets) return Array.from(data);
    const offsets = inside.offsets;
    return Array.from({ length: this.trajectory.size }, (_, i) =>
      Array.from({ length: offsets[i + 1] - offsets[i] }, (_, t) => data[offsets[i] + t]),
    );
  }
}

function bad(message: string, remedy: string): CohortError {
  return new CohortError("bad-batch", message, remedy);
}

const isNested = (value: unknown): boolean => Array.isArray(value) && value.some(Array.isArray);

function makeLevels(
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

/** Lengths by `length`, else by the first ragged field over tokens, else none. */
function lengthsOf(json: Record<string, unknown>, ruleOf: (name: string) => FieldRule): number[] {
  const named = Object.entries(json).filter(([name]) => ruleOf(name).shape[0] !== "raw");
  const nested = named.find(([name, v]) => ["token", "vocabulary"].includes(ruleOf(name).shape[0]) && isNested(v));
  const flat = named.find(([name, v]) => Array.isArray(v) && ruleOf(name).shape.includes("trajectory") && !isNested(v));
  if (Array.isArray(json["length"]) && ruleOf("length").shape[0] !== "raw") {
    // Lengths without tokens are numbers like any other; a level of tokens is made only where some field fills it.
    return nested ? (json["length"] as number[]) : (json["length"] as unknown[]).map(Number);
  }
  const ragged = named.find(([, v]) => isNested(v) && (v as unknown[]).every(Array.isArray));
  if (nested && isNested(nested[1])) return (nested[1] as unknown[][]).map((row) => row.length);
  if (ragged && !flat) return (ragged[1] as unknown[][]).map((row) => row.length);
  const group = json["group"];
  const count = flat ? (flat[1] as unknown[]).length : Array.isArray(group) ? group.length : 0;
  const rewards = json["rewards"];
  if (count === 0 && rewards && typeof rewards === "object") {
    const first = Object.values(rewards)[0];
    if (Array.isArray(first)) return new Array(first.length).fill(0);
  }
  return new Array(count).fill(0);
}

function toNumber(value: unknown): number {
  return typeof value === "number" ? value : value === true ? 1 : value === false ? 0 : Number.NaN;
}

function flatten(name: string, value: unknown, lengths: readonly number[]): Float64Array {
  if (!Array.isArray(value) || value.length !== lengths.length) {
    const got = Array.isArray(value) ? `${value.length} rows` : JSON.stringify(value);
    throw bad(
      `Batch.fromCase: field '${name}' has ${got} for ${lengths.length} trajectories`,
      "give one list a trajectory",
    );
  }
  let total = 0;
  for (let i = 0; i < value.length; i++) {
    const row = value[i];
    if (!Array.isArray(row) || row.length !== lengths[i]) {
      const got = Array.isArray(row) ? `${row.length} tokens` : JSON.stringify(row);
      throw bad(
        `Batch.fromCase: field '${name}', trajectory ${i}: ${got}, its length is ${lengths[i]}`,
        "give one number a token",
      );
    }
    total += row.length;
  }
  const data = new Float64Array(total);
  let at = 0;
  for (const row of value as unknown[][]) for (const x of row) data[at++] = toNumber(x);
  return data;
}

function raggedField(name: string, value: unknown, trajectory: Level): Field {
  if (!Array.isArray(value) || value.length !== trajectory.size || !value.every(Array.isArray)) {
    throw bad(
      `Batch.fromCase: field '${name}' is not a list of ${trajectory.size} lists`,
      "give one list a trajectory",
    );
  }
  const offsets = new Int32Array(trajectory.size + 1);
  value.forEach((row, i) => {
    offsets[i + 1] = offsets[i] + row.length;
  });
  const level = new Level(name, offsets[trajectory.size]).link(trajectory, { offsets });
  const data = Float64Array.from((value as unknown[][]).flat(), toNumber);
  checkNumbers(name, level, data, offsets);
  return { level, data };
}

function vocabularyField(
  name: string,
  value: unknown,
  token: Level,
  lengths: readonly number[],
  known: Level | undefined,
): Field {
  const rows: number[][] = [];
  if (!Array.isArray(value) || value.length !== lengths.length) {
    throw bad(
      `Batch.fromCase: field '${name}' is not a list of ${lengths.length} trajectories`,
      "give rows over the vocabulary for each token",
    );
  }
  value.forEach((tokens, i) => {
    if (!Array.isArray(tokens) || tokens.length !== lengths[i] || !tokens.every(Array.isArray)) {
      throw bad(
        `Batch.fromCase: field '${name}', trajectory ${i}: no ${lengths[i]} rows over the vocabulary`,
        "give one row a token",
      );
    }
    rows.push(...(tokens as number[][]));
  });
  const offsets = new Int32Array(rows.length + 1);
  rows.forEach((row, t) => {
    offsets[t + 1] = offsets[t] + row.length;
  });
  const data = Float64Array.from(rows.flat(), toNumber);
  const same = known && known.size === data.length;
  const level = same ? known : new Level("vocabulary", data.length).link(token, { offsets });
  checkNumbers(name, level, data, offsets, "token");
  return { level, data };
}

function addScalars(
  fields: Map<string, Field>,
  name: string,
  level: Level,
  list: readonly unknown[],
  offsets: Int32Array,
  nullable: boolean,
): void {
  const data = Float64Array.from(list, toNumber);
  if (nullable && list.includes(null)) {
    const present = Float64Array.from(list, (x) => (x === null ? 0 : 1));
    list.forEach((x, i) => {
      if (x === null) data[i] = 0;
    });
    fields.set(`${name}.present`, { level, data: present });
  }
  // A flag may be text (a role, a task): such lists stay raw, and are read as keys.
  if (list.some((x) => typeof x === "string")) return;
  checkNumbers(name, level, data, offsets);
  fields.set(name, { level, data });
}

function addRewards(fields: Map<string, Field>, trajectory: Level, value: unknown, offsets: Int32Array): void {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw bad("Batch.fromCase: 'rewards' is not an object of lists", "give { name: one number a trajectory }");
  }
  for (const [name, list] of Object.entries(value)) {
    if (!Array.isArray(list) || list.length !== trajectory.size) {
      throw bad(
        `Batch.fromCase: 'rewards.${name}' has no ${trajectory.size} entries`,
        "give one number (or null) a trajectory",
      );
    }
    addScalars(fields, `rewards.${name}`, trajectory, list, offsets, true);
  }
}

function checkNumbers(
  name: string,
  level: Level,
  data: Float64Array,
  offsets: Int32Array,
  unit = "",
  unlimited = false,
): void {
  const limited = STANDARD_FIELDS[name]?.logProbability && !unlimited;
  const limit = limited ? LOGP_SLACK : Number.POSITIVE_INFINITY;
  for (let k = 0; k < data.length; k++) {
    const x = data[k];
    if (x - x === 0 && x <= limit) continue;
    let where = `${unit || level.name} ${k}`;
    if (!unit && offsets[offsets.length - 1] === data.length && level.name !== "trajectory") {
      let i = 0;
      while (offsets[i + 1] <= k) i++;
      where = `trajectory ${i}, token ${k - offsets[i]}`;
    }
    if (x - x === 0)
      throw bad(`Batch: field '${name}', ${where}: log-probability ${x} is above 0`, "give natural-log probabilities");
    throw bad(`Batch: field '${name}', ${where}: ${x}`, "give finite numbers only");
  }
}
