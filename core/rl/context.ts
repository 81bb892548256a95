/**
 * @file What a slot of a recipe sees: the batch's fields as vectors, its levels, the state, and where to put results.
 */
import type { Batch } from "../batch.ts";
import { CohortError, nearest } from "../errors.ts";
import { type Frozen, Graph } from "./graph.ts";
import { ALL, type Level } from "./level.ts";
import type { Vec } from "./vec.ts";

/** Quantities of the current policy: an objective may be differentiated by them. */
export const DIFFERENTIABLE = ["logp", "entropy", "value", "logits", "row", "seq_logp"] as const;

export interface ContextOptions {
  state?: Record<string, unknown>;
  /** Fields that derivatives are asked for. */
  differentiate?: readonly string[];
  frozen?: Frozen;
  /** Whether slots may report metrics (default true). */
  metrics?: boolean;
  /** Collects the names of the fields that were read. */
  reads?: Set<string>;
}

export interface Output {
  vec: Vec;
  /** 0 where the output is null. */
  present?: Vec;
  /** Whether 1 and 0 stand for true and false. */
  flags?: boolean;
}

export class Context {
  readonly graph: Graph;
  readonly batch: Batch;
  readonly state: Record<string, unknown>;
  /** Names of the fields that were read. */
  readonly reads = new Set<string>();
  readonly metrics = new Map<string, Vec>();
  readonly outputs = new Map<string, Output | unknown>();
  /** Vectors that become fields of the batch once the slot is through. */
  readonly carried = new Map<string, Vec>();
  readonly #differentiate: ReadonlySet<string>;
  readonly #vectors = new Map<string, Vec>();
  /** Whether metrics are asked for. */
  readonly wantsMetrics: boolean;
  readonly #levels = new Map<string, Level>();

  constructor(batch: Batch, options: ContextOptions = {}) {
    this.batch = batch;
    this.state = options.state ?? {};
    this.graph = new Graph(options.frozen);
    this.#differentiate = new Set(options.differentiate ?? []);
    this.wantsMetrics = options.metrics ?? true;
  }

  close(): void {
    this.graph.close();
  }

  // Levels

  get token(): Level {
    return this.batch.token;
  }
  get trajectory(): Level {
    return this.batch.trajectory;
  }
  get group(): Level {
    return this.batch.group;
  }
  get all(): Level {
    return ALL;
  }
  get vocabulary(): Level {
    this.reads.add("logits");
    return this.batch.vocabulary ?? this.#missing("logits");
  }
  /** Turns (steps, segments) of each trajectory, from the field `turn` over tokens (or another of that kind). */
  turn(name = "turn"): Level {
    return this.#level(`turn ${name}`, () =>
      this.token.keyed(name, this.token.edge(this.trajectory).index, this.#data(name)),
    );
  }
  /** The level of a field's own elements: of `turn_reward` with one number a turn, the turns. */
  levelOf(name: string): Level {
    return this.field(name).level;
  }
  /** As levelOf, of a field with one number a turn, the tokens of each turn tied to it by the field `turn` (0, 1, … in each). */
  steps(name: string, turn = "turn"): Level {
    const step = this.levelOf(name);
    if (this.token.find(step)) return step;
    const first = step.edge(this.trajectory).offsets as Int32Array;
    const trajectory = this.token.edge(this.trajectory).index;
    const index = Int32Array.from(this.#data(turn), (k, t) => first[trajectory[t]] + k);
    index.forEach((k, t) => {
      if (k < first[trajectory[t] + 1] && k >= first[trajectory[t]]) return;
      throw new CohortError(
        "bad-batch",
        `Context.steps: '${turn}' of trajectory ${trajectory[t]}, token ${t - this.batch.offsets[trajectory[t]]} has no entry in '${name}'`,
        `give '${name}' one number a turn`,
      );
    });
    this.token.link(step, { index });
    return step;
  }
  /** A coarser level by keys, made once: `c.keyed("role", c.trajectory, c.raw("role"))`. */
  keyed(name: string, base: Level, ...keys: ArrayLike<number | string | boolean>[]): Level {
    return this.#level(`${name} of ${base.id}`, () => base.keyed(name, ...keys));
  }
  #level(key: string, make: () => Level): Level {
    let level = this.#levels.get(key);
    if (!level) {
      level = make();
      this.#levels.set(key, level);
    }
    return level;
  }

  // Fields

  has(name: string): boolean {
    return this.batch.fields.has(name);
  }
  /** @throws CohortError "bad-batch" where the batch lacks the field */
  field(name: string): Vec {
    const known = this.#vectors.get(name);
    if (known) return known;
    this.reads.add(name);
    const field = this.batch.fields.get(name);
    if (!field) return this.#missing(name);
    const vec = this.#differentiate.has(name)
      ? this.graph.input(field.level, field.data)
      : this.graph.constant(field.level, field.data);
    this.#vectors.set(name, vec);
    return vec;
  }
  optional(name: string): Vec | undefined {
    return this.has(name) ? this.field(name) : undefined;
  }
  /** A field of this context that is computed in it, in place of one of the batch. */
  define(name: string, vec: Vec): void {
    this.#vectors.set(name, vec);
  }
  /** A field as it came in the case or from the trainer. */
  raw<T>(name: string): T {
    this.reads.add(name);
    const value = this.batch.raw.get(name) ?? this.batch.fields.get(name)?.data;
    return (value === undefined ? this.#missing(name) : value) as T;
  }
  hasRaw(name: string): boolean {
    return this.batch.raw.has(name) || this.batch.fields.has(name);
  }
  #data(name: string): Float64Array {
    this.reads.add(name);
    return this.batch.fields.get(name)?.data ?? this.#missing(name);
  }
  #missing(name: string): never {
    const guess = nearest(name, this.batch.fields.keys());
    throw new CohortError(
      "bad-batch",
      `Context.field: the batch has no '${name}'`,
      `supply it${guess ? ` (there is a '${guess}')` : ""}, or choose a recipe that does not read it`,
    );
  }

  get reward(): Vec {
    return this.field("reward");
  }
  /** The reward as the batch brought it, where a reward slot has replaced it since. */
  get givenReward(): Vec {
    return this.optional("reward.given") ?? this.reward;
  }
  /** 1 where the field has a value, 0 where it is null. */
  present(name: string): Vec {
    const field = this.field(name);
    return this.optional(`${name}.present`) ?? this.graph.full(field.level, 1);
  }
  /** The several named rewards, in the order of the batch. */
  get rewards(): { name: string; value: Vec; present: Vec }[] {
    this.reads.add("rewards");
    const names = [...this.batch.fields.keys()].filter((k) => k.startsWith("rewards.") && !k.endsWith(".present"));
    if (names.length === 0) return this.#missing("rewards");
    return names.map((k) => ({ name: k.slice("rewards.".length), value: this.field(k), present: this.present(k) }));
  }
  get advantage(): Vec {
    return this.field("advantage");
  }
  get logp(): Vec {
    return this.field("logp");
  }
  get logpOld(): Vec {
    return this.field("logp_old");
  }
  get logpRef(): Vec {
    return this.field("logp_ref");
  }
  get logpRollout(): Vec {
    return this.field("logp_rollout");
  }
  get entropy(): Vec {
    return this.field("entropy");
  }
  /** What the slot `rows` made of each token's rows over the vocabulary. */
  get row(): Vec {
    return this.field("row");
  }
  get value(): Vec {
    return this.field("value");
  }
  /** 1 on tokens that are trained on; all of them where the batch has no mask. */
  get mask(): Vec {
    return this.optional("mask") ?? this.graph.full(this.token, 1);
  }
  /** The mask less what the filter dropped: what counts in numerators. */
  get kept(): Vec {
    let kept = this.mask;
    const token = this.optional("keep_token");
    const trajectory = this.optional("keep");
    if (token) kept = kept.mul(token);
    if (trajectory) kept = kept.mul(trajectory);
    return kept;
  }
  /** What counts in denominators: the mask, or what is kept where the filter says that dropped tokens are left out. */
  get counted(): Vec {
    return this.has("left_out") ? this.kept : this.mask;
  }
  /** Trained tokens of each trajectory, Σ_t m. */
  get trained(): Vec {
    return this.mask.sumOver(this.trajectory);
  }
  /** Tokens of each trajectory: the field `length`, else what the batch holds. */
  get length(): Vec {
    return this.optional("length") ?? this.graph.full(this.token, 1).sumOver(this.trajectory);
  }

  // Making vectors

  /** One number over a level (default: the batch). */
  number(value: number, level: Level = ALL): Vec {
    return this.graph.full(level, value);
  }
  /** Numbers computed in plain JavaScript, as constants. */
  lift(level: Level, data: ArrayLike<number>): Vec {
    return this.graph.lift(level, data);
  }
  /** A flag as 1s and 0s. */
  flags(level: Level, data: ArrayLike<boolean | number>): Vec {
    return this.graph.lift(level, Float64Array.from(data as ArrayLike<number>, Number));
  }

  // Results

  /** A number of the step for the log; means over masked tokens or over the level, computed with the loss. */
  report(name: string, vec: Vec | (() => Vec)): void {
    if (!this.wantsMetrics) return;
    this.metrics.set(name, typeof vec === "function" ? vec() : vec);
  }
  /** A named output beside the standard ones (see FORMAT of the cases); `present` 0 makes an entry null. */
  output(name: string, value: Vec | unknown, present?: Vec): void {
    const isVec = typeof value === "object" && value !== null && "graph" in value;
    this.outputs.set(name, isVec ? { vec: value as Vec, present } : value);
  }
  /** A named output of true and false, from 1s and 0s. */
  outputFlags(name: string, vec: Vec): void {
    this.outputs.set(name, { vec, flags: true });
  }
  /** @throws CohortError "bad-batch", for what a recipe finds wrong with its fields */
  refuse(message: string, remedy: string): never {
    throw new CohortError("bad-batch", message, remedy);
  }
  /** A constant for later slots and for the objective of every optimiser step, there as `c.field(name)`; in `prepare` only. */
  carry(name: string, vec: Vec): void {
    this.carried.set(name, vec);
  }
  /** Mean over the trained tokens, or over a coarser level's elements. */
  meanTrained(x: Vec): Vec {
    if (x.level === ALL) return x;
    return x.level === this.token ? x.meanOver(ALL, this.mask) : x.meanOver(ALL);
  }
}
