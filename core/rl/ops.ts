/**
 * @file The elementwise primitives: code for the interpreter, and the adjoint in terms of the primitives themselves.
 *
 * Rules for the degenerate: x/0 = 0, ln x for x below 2^-1022 is ln 2^-1022, √x for x < 0 is 0, and
 * exponents are clamped to ±300 (e^300 ≈ 2e130, so that a product of two is finite; the derivative stays the value). On a tie min and max hand the gradient to the first operand; clamp passes it at its bounds.
 */
import { CohortError } from "../errors.ts";
import * as code from "../wasm/rl/opcodes.ts";
import type { Vec } from "./vec.ts";

type Adjoint = (g: Vec, y: Vec, ...x: Vec[]) => (Vec | undefined)[];

export type ElementwiseName =
  | "copy"
  | "neg"
  | "abs"
  | "exp"
  | "log"
  | "sqrt"
  | "sigmoid"
  | "tanh"
  | "log1p"
  | "expm1"
  | "logSigmoid"
  | "floor"
  | "sign"
  | "cos"
  | "sin"
  | "logGamma"
  | "add"
  | "sub"
  | "mul"
  | "div"
  | "min"
  | "max"
  | "pow"
  | "lt"
  | "le"
  | "eq"
  | "select"
  | "clamp"
  | "inside"
  | "surrogate"
  | "surrogateSlope"
  | "digamma";

export interface Elementwise {
  code: number;
  /** The derivative of the loss by each operand, given that by the result (g); absent: the derivative is 0 everywhere. */
  adjoint?: Adjoint;
  /** For tests: an interval of each operand in which the primitive is smooth. */
  sample: [number, number][];
  /** For tests: distance by which the operands must differ for the primitive to be smooth. */
  apart?: number;
}

const ANY: [number, number] = [-2, 2];
const POSITIVE: [number, number] = [0.2, 3];

export const elementwise: Record<ElementwiseName, Elementwise> = {
  copy: { code: code.COPY, adjoint: (g) => [g], sample: [ANY] },
  neg: { code: code.NEG, adjoint: (g) => [g.neg()], sample: [ANY] },
  abs: { code: code.ABS, adjoint: (g, _y, x) => [g.mul(x.sign())], sample: [[0.1, 2]] },
  exp: { code: code.EXP, adjoint: (g, y) => [g.mul(y)], sample: [ANY] },
  log: { code: code.LOG, adjoint: (g, _y, x) => [x.gt(1e-300).where(g.div(x), 0)], sample: [POSITIVE] },
  sqrt: { code: code.SQRT, adjoint: (g, y) => [g.mul(0.5).div(y)], sample: [POSITIVE] },
  sigmoid: { code: code.SIGMOID, adjoint: (g, y) => [g.mul(y).mul(y.not())], sample: [ANY] },
  tanh: { code: code.TANH, adjoint: (g, y) => [g.mul(y.square().not())], sample: [ANY] },
  log1p: { code: code.LOG1P, adjoint: (g, _y, x) => [g.div(x.add(1))], sample: [[-0.5, 2]] },
  expm1: { code: code.EXPM1, adjoint: (g, y) => [g.mul(y.add(1))], sample: [ANY] },
  logSigmoid: { code: code.LOG_SIGMOID, adjoint: (g, _y, x) => [g.mul(x.neg().sigmoid())], sample: [ANY] },
  floor: { code: code.FLOOR, sample: [[0.1, 0.9]] },
  sign: { code: code.SIGN, sample: [[0.1, 0.9]] },
  cos: { code: code.COS, adjoint: (g, _y, x) => [g.mul(x.sin()).neg()], sample: [ANY] },
  sin: { code: code.SIN, adjoint: (g, _y, x) => [g.mul(x.cos())], sample: [ANY] },
  logGamma: { code: code.LOG_GAMMA, adjoint: (g, _y, x) => [g.mul(x.digamma())], sample: [POSITIVE] },
  add: { code: code.ADD, adjoint: (g) => [g, g], sample: [ANY, ANY] },
  sub: { code: code.SUB, adjoint: (g) => [g, g.neg()], sample: [ANY, ANY] },
  mul: { code: code.MUL, adjoint: (g, _y, a, b) => [g.mul(b), g.mul(a)], sample: [ANY, ANY] },
  div: {
    code: code.DIV,
    adjoint: (g, y, _a, b) => [g.div(b), g.mul(y).div(b).neg()],
    sample: [ANY, POSITIVE],
  },
  min: {
    code: code.MIN,
    adjoint: (g, _y, a, b) => [a.le(b).where(g, 0), a.le(b).where(0, g)],
    sample: [ANY, ANY],
    apart: 0.05,
  },
  max: {
    code: code.MAX,
    adjoint: (g, _y, a, b) => [b.le(a).where(g, 0), b.le(a).where(0, g)],
    sample: [ANY, ANY],
    apart: 0.05,
  },
  pow: {
    code: code.POW,
    adjoint: (g, y, a, b) => [g.mul(b).mul(a.pow(b.sub(1))), g.mul(y).mul(a.log())],
    sample: [POSITIVE, ANY],
  },
  lt: { code: code.LT, sample: [ANY, ANY], apart: 0.05 },
  le: { code: code.LE, sample: [ANY, ANY], apart: 0.05 },
  eq: { code: code.EQ, sample: [ANY, ANY], apart: 0.05 },
  select: {
    code: code.SELECT,
    adjoint: (g, _y, c) => [undefined, c.where(g, 0), c.where(0, g)],
    sample: [[0.5, 1], ANY, ANY],
  },
  clamp: {
    code: code.CLAMP,
    adjoint: (g, _y, x, lo, hi) => [g.mul(x.inside(lo, hi)), x.lt(lo).where(g, 0), x.gt(hi).where(g, 0)],
    sample: [ANY, [-0.9, -0.5], [0.5, 0.9]],
    apart: 0.05,
  },
  inside: { code: code.INSIDE, sample: [ANY, [-0.9, -0.5], [0.5, 0.9]], apart: 0.05 },
  surrogate: {
    code: code.SURROGATE,
    adjoint: (g, _y, r, a, lo, hi) => {
      const clipped = r.clamp(lo, hi);
      const free = r.mul(a).le(clipped.mul(a));
      return [g.mul(r.surrogateSlope(a, lo, hi)), g.mul(free.where(r, clipped)), undefined, undefined];
    },
    sample: [[0.2, 2], ANY, [0.6, 0.8], [1.2, 1.4]],
    apart: 0.05,
  },
  surrogateSlope: { code: code.SURROGATE_SLOPE, sample: [[0.2, 2], ANY, [0.6, 0.8], [1.2, 1.4]], apart: 0.05 },
  digamma: {
    code: code.DIGAMMA,
    adjoint: () => {
      throw new CohortError("bad-batch", "digamma: no second derivative of ln Γ", "stop the gradient before it");
    },
    sample: [],
  },
};

/** Operations between levels and on whole vectors; their adjoints are in grad.ts. */
export type StructuredName =
  | "leaf"
  | "full"
  | "stop"
  | "spread"
  | "sum"
  | "maxOver"
  | "minOver"
  | "recur"
  | "shift"
  | "gather"
  | "scatter"
  | "order"
  | "running";
