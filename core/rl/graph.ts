/**
 * @file A graph: the nodes of one computation, and where their numbers lie in the engine's memory.
 */
import { CohortError } from "../errors.ts";
import { type Engine, engine } from "./engine.ts";
import type { Edge, Level } from "./level.ts";
import { schedule } from "./schedule.ts";
import { type Attributes, Vec } from "./vec.ts";

/**
 * Values that must stay as they were in an earlier run of the same recipe: what was behind a stop-gradient or came
 * from plain JavaScript. A finite difference of a loss with stopped parts is right only with those parts held.
 */
export interface Frozen {
  mode: "record" | "replay";
  values: Float64Array[];
}

/** One computation: its nodes, and its place in the engine's memory until `close`. */
export class Graph {
  readonly engine: Engine = engine();
  readonly #mark: number;
  readonly #nodes = new Map<string, Vec>();
  readonly #frozen: Frozen | undefined;
  #held = 0;
  #count = 0;
  /** Per level, where the vectors of edges lie in memory (see schedule.ts). */
  readonly edges = new Map<Edge, { offsets: number; index: number }>();
  /** Block registers of the interpreter (see schedule.ts). */
  readonly registers: number[] = [];

  constructor(frozen?: Frozen) {
    this.#mark = this.engine.mark();
    this.#frozen = frozen;
  }

  /** Frees the graph's memory; its vectors are of no use afterwards. Graphs close in the reverse order of opening. */
  close(): void {
    this.engine.release(this.#mark);
  }

  /** Given numbers, constant for derivatives. The array is read at evaluation; do not change it before. */
  constant(level: Level, data: ArrayLike<number>): Vec {
    if (data.length !== level.size) {
      throw new CohortError(
        "bad-batch",
        `Graph.constant: ${data.length} numbers for the ${level.size} elements of '${level.name}'`,
        "give one number an element",
      );
    }
    const vec = new Vec(this, this.#count++, level, "leaf", [], {}, false);
    vec.data = data;
    return vec;
  }

  /** Given numbers that derivatives are asked for. */
  input(level: Level, data: ArrayLike<number>): Vec {
    const vec = this.constant(level, data);
    vec.differentiable = true;
    return vec;
  }

  /** One number for every element of a level. */
  full(level: Level, value: number): Vec {
    return this.node(level, "full", [], { value }, false);
  }

  /** Numbers that plain JavaScript made from evaluated vectors: constants that a finite difference must hold. */
  lift(level: Level, data: ArrayLike<number>): Vec {
    return this.constant(
      level,
      this.#hold(() => Float64Array.from(data)),
    );
  }

  /** @internal A node, or the equal one that is there already. */
  node(level: Level, op: Vec["op"], inputs: Vec[], attributes: Attributes, differentiable: boolean): Vec {
    const { edge, value, by } = attributes;
    const key = `${op} ${level.id} ${inputs.map((x) => x.id)} ${edge ? `${edge.fine.id}>${edge.coarse.id}` : ""} ${value ?? ""} ${by ?? ""}`;
    let vec = this.#nodes.get(key);
    if (!vec) {
      vec = new Vec(this, this.#count++, level, op, inputs, attributes, differentiable);
      this.#nodes.set(key, vec);
    }
    return vec;
  }

  /** @internal */
  stopped(x: Vec): Vec {
    if (!x.differentiable) return x;
    if (!this.#frozen) return this.node(x.level, "stop", [x], {}, false);
    return this.constant(
      x.level,
      this.#hold(() => x.values()),
    );
  }

  #hold(make: () => Float64Array): Float64Array {
    const frozen = this.#frozen;
    if (!frozen) return make();
    if (frozen.mode === "record") {
      const made = make();
      frozen.values.push(made);
      return made;
    }
    return frozen.values[this.#held++];
  }

  /** Computes several vectors together: what they share is computed once. Their numbers stay in the engine's memory. */
  compute(vectors: readonly Vec[]): void {
    schedule(this, vectors);
  }
  /** As compute, and copies the numbers out. */
  evaluate(vectors: readonly Vec[]): Float64Array[] {
    this.compute(vectors);
    return vectors.map((v) => v.read());
  }
}
