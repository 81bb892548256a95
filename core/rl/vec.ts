/**
 * @file Vectors over levels: what recipes compute with.
 *
 * A Vec is a node of a graph, not numbers: operations only record. `values()` (or Graph.evaluate) runs what is needed
 * in the WASM core, fusing everything that walks one level into one pass. A derivative (grad.ts) is more nodes of the
 * same graph, so value and derivative share a pass.
 *
 * Operands of different levels: the coarser is spread over the finer by itself, and a number over anything.
 * Reductions name the level they end at: `reward.meanOver(group)`. An empty segment reduces to 0.
 */
import { CohortError } from "../errors.ts";
import type { Graph } from "./graph.ts";
import { ALL, type Edge, type Level } from "./level.ts";
import { type Elementwise, type ElementwiseName, elementwise, type StructuredName } from "./ops.ts";

export type Numeric = Vec | number;

/** What an operation needs besides its operands. */
export interface Attributes {
  edge?: Edge;
  /** Value of a `full`. */
  value?: number;
  /** Distance of a shift; 1 or -1 of a running extreme; 1 for a backward recurrence. */
  by?: number;
}

export class Vec {
  readonly graph: Graph;
  readonly id: number;
  readonly level: Level;
  readonly op: ElementwiseName | StructuredName;
  readonly inputs: readonly Vec[];
  readonly attributes: Attributes;
  /** Whether a derivative may flow through. */
  differentiable: boolean;
  /** Numbers of a leaf. */
  data: ArrayLike<number> | undefined;
  /** Address of the values once computed, else 0. */
  address = 0;

  constructor(
    graph: Graph,
    id: number,
    level: Level,
    op: Vec["op"],
    inputs: readonly Vec[],
    attributes: Attributes,
    differentiable: boolean,
  ) {
    this.graph = graph;
    this.id = id;
    this.level = level;
    this.op = op;
    this.inputs = inputs;
    this.attributes = attributes;
    this.differentiable = differentiable;
  }

  // Elementwise

  #apply(name: ElementwiseName, ...operands: Numeric[]): Vec {
    let level = this.level;
    for (const x of operands) {
      if (typeof x === "number" || x.level === level) continue;
      if (!level.find(x.level) || x.level.isBelow(level)) level = x.level;
    }
    const all = [this, ...operands].map((x) => (typeof x === "number" ? this.graph.full(level, x) : x.to(level)));
    const primitive: Elementwise = elementwise[name];
    return this.graph.node(level, name, all, {}, primitive.adjoint !== undefined && all.some((x) => x.differentiable));
  }

  /** The number that every element has, where that is known without computing. */
  #known(): number | undefined {
    return this.op === "full" ? this.attributes.value : undefined;
  }

  add(other: Numeric): Vec {
    const a = this.#known();
    const b = knownOf(other);
    if (b === 0 && this.#covers(other)) return this;
    if (a === 0 && other instanceof Vec && other.#covers(this)) return other;
    if (a !== undefined && b !== undefined) return this.#fullWith(other, a + b);
    return this.#apply("add", other);
  }
  sub(other: Numeric): Vec {
    const a = this.#known();
    const b = knownOf(other);
    if (b === 0 && this.#covers(other)) return this;
    if (a !== undefined && b !== undefined) return this.#fullWith(other, a - b);
    return this.#apply("sub", other);
  }
  mul(other: Numeric): Vec {
    const a = this.#known();
    const b = knownOf(other);
    if (b === 1 && this.#covers(other)) return this;
    if (a === 1 && other instanceof Vec && other.#covers(this)) return other;
    if (a !== undefined && b !== undefined) return this.#fullWith(other, a * b);
    if (a === 0 || b === 0) return this.#fullWith(other, 0);
    return this.#apply("mul", other);
  }
  /** x / y, and 0 where y is 0. */
  div(other: Numeric): Vec {
    const a = this.#known();
    const b = knownOf(other);
    if (b === 1 && this.#covers(other)) return this;
    if (a !== undefined && b !== undefined) return this.#fullWith(other, b === 0 ? 0 : a / b);
    return this.#apply("div", other);
  }
  #covers(other: Numeric): boolean {
    if (typeof other === "number" || this.level === other.level) return true;
    return this.level.find(other.level) !== undefined && !other.level.isBelow(this.level);
  }
  #fullWith(other: Numeric, value: number): Vec {
    return this.graph.full(this.#covers(other) ? this.level : (other as Vec).level, value);
  }

  neg(): Vec {
    const a = this.#known();
    return a === undefined ? this.#apply("neg") : this.graph.full(this.level, -a);
  }
  abs(): Vec {
    return this.#apply("abs");
  }
  /** e^x, x clamped to ±300. */
  exp(): Vec {
    return this.#apply("exp");
  }
  log(): Vec {
    return this.#apply("log");
  }
  log1p(): Vec {
    return this.#apply("log1p");
  }
  expm1(): Vec {
    return this.#apply("expm1");
  }
  sqrt(): Vec {
    return this.#apply("sqrt");
  }
  square(): Vec {
    return this.mul(this);
  }
  /** x^y for x ≥ 0. */
  pow(exponent: Numeric): Vec {
    return this.#apply("pow", exponent);
  }
  sigmoid(): Vec {
    return this.#apply("sigmoid");
  }
  /** ln σ(x), exact for large |x|. */
  logSigmoid(): Vec {
    return this.#apply("logSigmoid");
  }
  /** ln(1 + e^x). */
  softplus(): Vec {
    return this.neg().logSigmoid().neg();
  }
  tanh(): Vec {
    return this.#apply("tanh");
  }
  cos(): Vec {
    return this.#apply("cos");
  }
  sin(): Vec {
    return this.#apply("sin");
  }
  logGamma(): Vec {
    return this.#apply("logGamma");
  }
  digamma(): Vec {
    return this.#apply("digamma");
  }
  floor(): Vec {
    return this.#apply("floor");
  }
  /** -1, 0 or 1. */
  sign(): Vec {
    return this.#apply("sign");
  }
  min(other: Numeric): Vec {
    return this.#apply("min", other);
  }
  max(other: Numeric): Vec {
    return this.#apply("max", other);
  }
  /** Into [lo, hi]; a null bound is open. */
  clamp(lo: Numeric | null, hi: Numeric | null): Vec {
    if (lo === null && hi === null) return this;
    if (lo === null) return this.min(hi as Numeric);
    if (hi === null) return this.max(lo);
    return this.#apply("clamp", lo, hi);
  }
  /** 1 where lo ≤ x ≤ hi, else 0; a null bound is open. */
  inside(lo: Numeric | null, hi: Numeric | null): Vec {
    if (lo === null && hi === null) return this.graph.full(this.level, 1);
    if (lo === null) return this.le(hi as Numeric);
    if (hi === null) return this.ge(lo);
    return this.#apply("inside", lo, hi);
  }
  /** min(x·a, clamp(x, lo, hi)·a): the clipped surrogate of PPO in one primitive. */
  surrogate(a: Numeric, lo: Numeric, hi: Numeric): Vec {
    return this.#apply("surrogate", a, lo, hi);
  }
  /** a where the unclipped branch of the surrogate rules, else 0. */
  surrogateSlope(a: Numeric, lo: Numeric, hi: Numeric): Vec {
    return this.#apply("surrogateSlope", a, lo, hi);
  }

  // Comparisons give 1 or 0; `and`, `or`, `not` work on those.

  lt(other: Numeric): Vec {
    return this.#apply("lt", other);
  }
  le(other: Numeric): Vec {
    return this.#apply("le", other);
  }
  gt(other: Numeric): Vec {
    return typeof other === "number" ? this.graph.full(this.level, other).lt(this) : other.lt(this);
  }
  ge(other: Numeric): Vec {
    return typeof other === "number" ? this.graph.full(this.level, other).le(this) : other.le(this);
  }
  eq(other: Numeric): Vec {
    return this.#apply("eq", other);
  }
  ne(other: Numeric): Vec {
    return this.eq(other).not();
  }
  and(other: Vec): Vec {
    return this.mul(other);
  }
  or(other: Vec): Vec {
    return this.max(other);
  }
  /** 1 − x. */
  not(): Vec {
    return this.graph.full(this.level, 1).sub(this);
  }
  /** a where this is not 0, else b. */
  where(a: Numeric, b: Numeric): Vec {
    return this.#apply("select", a, b);
  }

  /** The same values, with no derivative through them. */
  stop(): Vec {
    return this.graph.stopped(this);
  }

  // Between levels

  /** Spread over a finer level. */
  to(level: Level): Vec {
    if (level === this.level) return this;
    const known = this.#known();
    if (known !== undefined) return this.graph.full(level, known);
    const edge = level.edge(this.level);
    return this.graph.node(level, "spread", [this], { edge }, this.differentiable);
  }

  #reduce(op: "sum" | "maxOver" | "minOver", level: Level): Vec {
    if (level === this.level) return this;
    const edge = this.level.edge(level);
    return this.graph.node(level, op, [this], { edge }, this.differentiable);
  }

  sumOver(level: Level): Vec {
    const known = this.#known();
    if (known !== undefined && level !== this.level) return this.countOver(level).mul(known);
    return this.#reduce("sum", level);
  }
  /** Largest of each segment; the gradient is shared by the elements that attain it. */
  maxOver(level: Level): Vec {
    return this.#reduce("maxOver", level);
  }
  minOver(level: Level): Vec {
    return this.#reduce("minOver", level);
  }
  /** Number of this level's elements in each segment. */
  countOver(level: Level): Vec {
    if (level === this.level) return this.graph.full(level, 1);
    const { counts } = this.level.edge(level);
    return this.graph.constant(level, counts);
  }
  /** Mean, weighted where weights are given; 0 over an empty segment or weights that sum to 0. */
  meanOver(level: Level, weight?: Vec): Vec {
    if (weight) return this.mul(weight).sumOver(level).div(weight.to(this.level).sumOver(level));
    return this.sumOver(level).div(this.countOver(level));
  }
  /** x − mean, exactly 0 where all x of the segment are equal. */
  centreOver(level: Level, weight?: Vec): Vec {
    // Taking off an element of the segment first makes equal values exactly 0 and saves digits when they are close.
    const first = this.minOver(level).stop();
    const offset = this.sub(first);
    return offset.sub(offset.meanOver(level, weight));
  }
  /** Variance from centred values, divisor n − ddof (the sum of weights in n's place); 0 where that is not positive. */
  varOver(level: Level, { ddof = 0, weight }: { ddof?: number; weight?: Vec } = {}): Vec {
    const square = this.centreOver(level, weight).square();
    const total = (weight ? square.mul(weight) : square).sumOver(level);
    const n = weight ? weight.to(this.level).sumOver(level) : this.countOver(level);
    return total.div(n.sub(ddof).max(0));
  }
  stdOver(level: Level, options: { ddof?: number; weight?: Vec } = {}): Vec {
    return this.varOver(level, options).sqrt();
  }
  /** ln Σ e^x. */
  logSumExpOver(level: Level): Vec {
    const top = this.maxOver(level).stop();
    return this.sub(top).exp().sumOver(level).log().add(top);
  }
  /** The mean of the segment's other elements; 0 for a segment of one. */
  othersMeanOver(level: Level): Vec {
    return this.sumOver(level).sub(this).div(this.countOver(level).sub(1));
  }

  // Along a level, inside the segments of a coarser one

  #along(op: StructuredName, level: Level, inputs: Vec[], by: number, differentiable: boolean): Vec {
    const edge = this.level.edge(level);
    if (!edge.offsets) {
      throw new CohortError(
        "bad-batch",
        `Vec.${op}: the elements of '${level.name}' are not contiguous in '${this.level.name}'`,
        "sort the batch by it first",
      );
    }
    return this.graph.node(this.level, op, inputs, { edge, by }, differentiable);
  }

  /** y_t = x_t + decay_t · y_{t−1} ("forward") or y_{t+1} ("backward") inside each segment of the level. */
  recur(level: Level, direction: "forward" | "backward", decay: Numeric = 1): Vec {
    const d = typeof decay === "number" ? this.graph.full(this.level, decay) : decay.to(this.level);
    const differentiable = this.differentiable || d.differentiable;
    return this.#along("recur", level, [this, d], direction === "backward" ? 1 : 0, differentiable);
  }
  /** Running sum, inclusive. */
  cumulate(level: Level, direction: "forward" | "backward" = "forward"): Vec {
    return this.recur(level, direction, 1);
  }
  /** y_t = x_{t−by}; 0 where that lies outside the segment. */
  shift(level: Level, by: number): Vec {
    return this.#along("shift", level, [this], by, this.differentiable);
  }
  /** Positions of this level in ascending order of value, segment by segment (ties in order of position). */
  orderOver(level: Level): Vec {
    return this.#along("order", level, [this], 0, false);
  }
  /** Position in its segment (0 the smallest) by value; ties in order of position. */
  rankOver(level: Level): Vec {
    const places = this.positionOver(level);
    return places.scatterTo(this.level, this.orderOver(level));
  }
  /** 0, 1, 2, … inside each segment. */
  positionOver(level: Level): Vec {
    return this.graph.full(this.level, 1).cumulate(level).sub(1);
  }
  /** This vector's elements in ascending order inside each segment. */
  sortOver(level: Level): Vec {
    return this.gather(this.orderOver(level));
  }
  /** Quantile q with linear interpolation; differentiable in x. `count`: how many of the smallest to look at (default all). */
  quantileOver(level: Level, q: number): Vec {
    const edge = this.level.edge(level);
    const offsets = edge.offsets ?? Int32Array.of(0, this.level.size);
    const sorted = this.sortOver(level);
    const below = new Float64Array(level.size).fill(-1);
    const above = new Float64Array(level.size).fill(-1);
    const part = new Float64Array(level.size);
    for (let s = 0; s < level.size; s++) {
      const n = offsets[s + 1] - offsets[s];
      if (n === 0) continue;
      const at = q * (n - 1);
      below[s] = offsets[s] + Math.floor(at);
      above[s] = Math.min(below[s] + 1, offsets[s + 1] - 1);
      part[s] = at - Math.floor(at);
    }
    const lower = sorted.gather(this.graph.constant(level, below));
    const upper = sorted.gather(this.graph.constant(level, above));
    return lower.add(upper.sub(lower).mul(this.graph.constant(level, part)));
  }
  medianOver(level: Level): Vec {
    return this.quantileOver(level, 0.5);
  }
  /** Largest ("max") or smallest ("min") of the elements up to and with this one. */
  runningOver(level: Level, kind: "max" | "min"): Vec {
    return this.gather(this.#along("running", level, [this], kind === "max" ? 1 : -1, false));
  }

  /** y_i = x[index_i] over the index's level; 0 where the index is negative. */
  gather(index: Vec): Vec {
    return this.graph.node(index.level, "gather", [this, index], {}, this.differentiable);
  }
  /** y over `level` with y[index_i] += x_i; negative indices are dropped. */
  scatterTo(level: Level, index: Vec): Vec {
    return this.graph.node(level, "scatter", [this, index], {}, this.differentiable);
  }

  // Values

  /** @internal Copies the computed values out, into an array of the level's size where one is given. */
  read(into?: Float64Array): Float64Array {
    const known = this.#known();
    if (known !== undefined) return (into ?? new Float64Array(this.level.size)).fill(known);
    if (this.op === "stop") return this.inputs[0].read(into);
    const values = this.data ?? this.graph.engine.f64(this.address, this.level.size);
    if (!into) return values instanceof Float64Array ? values.slice() : new Float64Array(values);
    into.set(values);
    return into;
  }
  /** @internal Position of the first computed value that is NaN or infinite, or -1. */
  notFinite(): number {
    const source = this.op === "stop" ? this.inputs[0] : this;
    if (source !== this) return source.notFinite();
    const known = this.#known();
    if (known !== undefined) return known - known === 0 || this.level.size === 0 ? -1 : 0;
    return this.graph.engine.kernels.firstFault(this.address, this.level.size, Number.POSITIVE_INFINITY);
  }
  /** The numbers, computed now where they are not yet. */
  values(): Float64Array {
    return this.graph.evaluate([this])[0];
  }
  /** The one number of a vector over the whole batch. */
  value(): number {
    if (this.level !== ALL) {
      throw new CohortError(
        "bad-batch",
        `Vec.value: a vector over '${this.level.name}' is not one number`,
        "reduce it over the batch first",
      );
    }
    return this.values()[0];
  }
}

function knownOf(x: Numeric): number | undefined {
  if (typeof x === "number") return x;
  return x.op === "full" ? x.attributes.value : undefined;
}
