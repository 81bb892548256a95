/**
 * @file The block interpreter: a program of elementwise operations, spreads and reductions over one level is run block
 * by block, so that a chain of operations reads its inputs once and its intermediates never leave the first-level cache.
 *
 * An operand is (address, step): step 8 walks through a whole vector, step 0 is a register of one block. Elementwise
 * operations may run in place. A block is rounded up to an even count: vectors and registers are padded by 16 bytes.
 */
import * as op from "./opcodes";
import { digamma, divide, exp2x, log, logGamma, logSigmoid, power } from "./elementary";
import { extremeIndex, extremeRuns, spreadIndex, spreadRuns, sumIndex, sumProducts, sumRuns } from "./between";

// @ts-ignore: decorator
@inline
function operand(instruction: usize, slot: usize, from: usize): usize {
  const at = instruction + 4 + (slot << 3);
  return <usize>load<i32>(at) + from * <usize>load<i32>(at, 4);
}

/** Runs `count` instructions over elements 0 … n−1. */
export function run(program: usize, count: i32, n: i32): void {
  for (let from = 0; from < n; from += op.BLOCK) {
    const len = min(op.BLOCK, n - from);
    for (let k = 0; k < count; k++) step(program + <usize>k * (op.WORDS << 2), from, len);
  }
}

// @ts-ignore: decorator
@inline
function surrogate(r: v128, A: v128, lo: v128, hi: v128): v128 {
  return f64x2.pmin(f64x2.mul(r, A), f64x2.mul(f64x2.pmin(f64x2.pmax(r, lo), hi), A));
}

// @ts-ignore: decorator
@inline
function slope(r: v128, A: v128, lo: v128, hi: v128): v128 {
  return v128.and(A, f64x2.le(f64x2.mul(r, A), f64x2.mul(f64x2.pmin(f64x2.pmax(r, lo), hi), A)));
}

/** One instruction over one block. The commonest operations are unrolled: their cost is the loop, not the arithmetic. */
function step(ins: usize, from: i32, len: i32): void {
  const code = load<i32>(ins);
  const o = operand(ins, 0, from);
  const a = operand(ins, 1, from);
  const b = operand(ins, 2, from);
  const c = operand(ins, 3, from);
  const d = operand(ins, 4, from);
  const offsets = <usize>load<i32>(ins, 44);
  const index = <usize>load<i32>(ins, 48);
  const segments = load<i32>(ins, 52);
  const scratch = <usize>load<i32>(ins, 56);
  const bytes = (<usize>(len + 1) >>> 1) << 4;
  let i: usize = 0;
  switch (code) {
    case op.COPY:
      for (; i + 64 <= bytes; i += 64) {
        v128.store(o + i, v128.load(a + i));
        v128.store(o + i, v128.load(a + i, 16), 16);
        v128.store(o + i, v128.load(a + i, 32), 32);
        v128.store(o + i, v128.load(a + i, 48), 48);
      }
      for (; i < bytes; i += 16) v128.store(o + i, v128.load(a + i));
      break;
    case op.NEG:
      for (; i + 64 <= bytes; i += 64) {
        v128.store(o + i, f64x2.neg(v128.load(a + i)));
        v128.store(o + i, f64x2.neg(v128.load(a + i, 16)), 16);
        v128.store(o + i, f64x2.neg(v128.load(a + i, 32)), 32);
        v128.store(o + i, f64x2.neg(v128.load(a + i, 48)), 48);
      }
      for (; i < bytes; i += 16) v128.store(o + i, f64x2.neg(v128.load(a + i)));
      break;
    case op.ABS:
      for (; i < bytes; i += 16) v128.store(o + i, f64x2.abs(v128.load(a + i)));
      break;
    case op.EXP:
      for (; i + 32 <= bytes; i += 32) {
        const x = exp2x(v128.load(a + i));
        const y = exp2x(v128.load(a + i, 16));
        v128.store(o + i, x);
        v128.store(o + i, y, 16);
      }
      for (; i < bytes; i += 16) v128.store(o + i, exp2x(v128.load(a + i)));
      break;
    case op.SQRT:
      for (; i < bytes; i += 16)
        v128.store(o + i, f64x2.sqrt(f64x2.pmax(f64x2.splat(0), v128.load(a + i))));
      break;
    case op.SIGMOID:
      for (; i < bytes; i += 16)
        v128.store(o + i, f64x2.div(f64x2.splat(1), f64x2.add(f64x2.splat(1), exp2x(f64x2.neg(v128.load(a + i))))));
      break;
    case op.FLOOR:
      for (; i < bytes; i += 16) v128.store(o + i, f64x2.floor(v128.load(a + i)));
      break;
    case op.SIGN:
      for (; i < bytes; i += 16) {
        const x = v128.load(a + i);
        const up = v128.and(f64x2.gt(x, f64x2.splat(0)), f64x2.splat(1));
        v128.store(o + i, f64x2.sub(up, v128.and(f64x2.lt(x, f64x2.splat(0)), f64x2.splat(1))));
      }
      break;
    case op.LOG:
      for (; i < bytes; i += 8) store<f64>(o + i, log(load<f64>(a + i)));
      break;
    case op.TANH:
      for (; i < bytes; i += 8) store<f64>(o + i, Math.tanh(load<f64>(a + i)));
      break;
    case op.LOG1P:
      for (; i < bytes; i += 8)
        store<f64>(o + i, Math.log1p(Math.max(load<f64>(a + i), -0.9999999999999999)));
      break;
    case op.EXPM1:
      for (; i < bytes; i += 8) store<f64>(o + i, Math.expm1(Math.min(load<f64>(a + i), 709.0)));
      break;
    case op.LOG_SIGMOID:
      for (; i < bytes; i += 8) store<f64>(o + i, logSigmoid(load<f64>(a + i)));
      break;
    case op.COS:
      for (; i < bytes; i += 8) store<f64>(o + i, Math.cos(load<f64>(a + i)));
      break;
    case op.SIN:
      for (; i < bytes; i += 8) store<f64>(o + i, Math.sin(load<f64>(a + i)));
      break;
    case op.LOG_GAMMA:
      for (; i < bytes; i += 8) store<f64>(o + i, logGamma(load<f64>(a + i)));
      break;
    case op.DIGAMMA:
      for (; i < bytes; i += 8) store<f64>(o + i, digamma(load<f64>(a + i)));
      break;
    case op.ADD:
      for (; i + 64 <= bytes; i += 64) {
        v128.store(o + i, f64x2.add(v128.load(a + i), v128.load(b + i)));
        v128.store(o + i, f64x2.add(v128.load(a + i, 16), v128.load(b + i, 16)), 16);
        v128.store(o + i, f64x2.add(v128.load(a + i, 32), v128.load(b + i, 32)), 32);
        v128.store(o + i, f64x2.add(v128.load(a + i, 48), v128.load(b + i, 48)), 48);
      }
      for (; i < bytes; i += 16) v128.store(o + i, f64x2.add(v128.load(a + i), v128.load(b + i)));
      break;
    case op.SUB:
      for (; i + 64 <= bytes; i += 64) {
        v128.store(o + i, f64x2.sub(v128.load(a + i), v128.load(b + i)));
        v128.store(o + i, f64x2.sub(v128.load(a + i, 16), v128.load(b + i, 16)), 16);
        v128.store(o + i, f64x2.sub(v128.load(a + i, 32), v128.load(b + i, 32)), 32);
        v128.store(o + i, f64x2.sub(v128.load(a + i, 48), v128.load(b + i, 48)), 48);
      }
      for (; i < bytes; i += 16) v128.store(o + i, f64x2.sub(v128.load(a + i), v128.load(b + i)));
      break;
    case op.MUL:
      for (; i + 64 <= bytes; i += 64) {
        v128.store(o + i, f64x2.mul(v128.load(a + i), v128.load(b + i)));
        v128.store(o + i, f64x2.mul(v128.load(a + i, 16), v128.load(b + i, 16)), 16);
        v128.store(o + i, f64x2.mul(v128.load(a + i, 32), v128.load(b + i, 32)), 32);
        v128.store(o + i, f64x2.mul(v128.load(a + i, 48), v128.load(b + i, 48)), 48);
      }
      for (; i < bytes; i += 16) v128.store(o + i, f64x2.mul(v128.load(a + i), v128.load(b + i)));
      break;
    case op.DIV:
      for (; i < bytes; i += 16) {
        const y = v128.load(b + i);
        const zero = f64x2.eq(y, f64x2.splat(0));
        v128.store(o + i, v128.andnot(f64x2.div(v128.load(a + i), y), zero));
      }
      break;
    case op.MIN:
      for (; i < bytes; i += 16) v128.store(o + i, f64x2.pmin(v128.load(a + i), v128.load(b + i)));
      break;
    case op.MAX:
      for (; i < bytes; i += 16) v128.store(o + i, f64x2.pmax(v128.load(a + i), v128.load(b + i)));
      break;
    case op.POW:
      for (; i < bytes; i += 8) store<f64>(o + i, power(load<f64>(a + i), load<f64>(b + i)));
      break;
    case op.LT:
      for (; i + 32 <= bytes; i += 32) {
        v128.store(o + i, v128.and(f64x2.lt(v128.load(a + i), v128.load(b + i)), f64x2.splat(1)));
        v128.store(o + i, v128.and(f64x2.lt(v128.load(a + i, 16), v128.load(b + i, 16)), f64x2.splat(1)), 16);
      }
      for (; i < bytes; i += 16)
        v128.store(o + i, v128.and(f64x2.lt(v128.load(a + i), v128.load(b + i)), f64x2.splat(1)));
      break;
    case op.LE:
      for (; i + 32 <= bytes; i += 32) {
        v128.store(o + i, v128.and(f64x2.le(v128.load(a + i), v128.load(b + i)), f64x2.splat(1)));
        v128.store(o + i, v128.and(f64x2.le(v128.load(a + i, 16), v128.load(b + i, 16)), f64x2.splat(1)), 16);
      }
      for (; i < bytes; i += 16)
        v128.store(o + i, v128.and(f64x2.le(v128.load(a + i), v128.load(b + i)), f64x2.splat(1)));
      break;
    case op.EQ:
      for (; i < bytes; i += 16)
        v128.store(o + i, v128.and(f64x2.eq(v128.load(a + i), v128.load(b + i)), f64x2.splat(1)));
      break;
    case op.SELECT: // a ≠ 0 ? b : c
      for (; i < bytes; i += 16)
        v128.store(
          o + i,
          v128.bitselect(v128.load(b + i), v128.load(c + i), f64x2.ne(v128.load(a + i), f64x2.splat(0))),
        );
      break;
    case op.CLAMP: // a to [b, c]
      for (; i < bytes; i += 16)
        v128.store(o + i, f64x2.pmin(f64x2.pmax(v128.load(a + i), v128.load(b + i)), v128.load(c + i)));
      break;
    case op.INSIDE: // 1 where b ≤ a ≤ c
      for (; i < bytes; i += 16) {
        const x = v128.load(a + i);
        const both = v128.and(f64x2.ge(x, v128.load(b + i)), f64x2.le(x, v128.load(c + i)));
        v128.store(o + i, v128.and(both, f64x2.splat(1)));
      }
      break;
    case op.SURROGATE: // min(a·b, clamp(a, c, d)·b)
      for (; i + 32 <= bytes; i += 32) {
        v128.store(o + i, surrogate(v128.load(a + i), v128.load(b + i), v128.load(c + i), v128.load(d + i)));
        v128.store(
          o + i,
          surrogate(v128.load(a + i, 16), v128.load(b + i, 16), v128.load(c + i, 16), v128.load(d + i, 16)),
          16,
        );
      }
      for (; i < bytes; i += 16)
        v128.store(o + i, surrogate(v128.load(a + i), v128.load(b + i), v128.load(c + i), v128.load(d + i)));
      break;
    case op.SURROGATE_SLOPE: // its derivative by a: b where the unclipped branch is at most the clipped one
      for (; i + 32 <= bytes; i += 32) {
        v128.store(o + i, slope(v128.load(a + i), v128.load(b + i), v128.load(c + i), v128.load(d + i)));
        v128.store(
          o + i,
          slope(v128.load(a + i, 16), v128.load(b + i, 16), v128.load(c + i, 16), v128.load(d + i, 16)),
          16,
        );
      }
      for (; i < bytes; i += 16)
        v128.store(o + i, slope(v128.load(a + i), v128.load(b + i), v128.load(c + i), v128.load(d + i)));
      break;
    case op.EXP_SUB: // e^(a − b)
      for (; i + 32 <= bytes; i += 32) {
        const x = exp2x(f64x2.sub(v128.load(a + i), v128.load(b + i)));
        const y = exp2x(f64x2.sub(v128.load(a + i, 16), v128.load(b + i, 16)));
        v128.store(o + i, x);
        v128.store(o + i, y, 16);
      }
      for (; i < bytes; i += 16) v128.store(o + i, exp2x(f64x2.sub(v128.load(a + i), v128.load(b + i))));
      break;
    case op.MUL_MUL: // (a · b) · c
      for (; i + 32 <= bytes; i += 32) {
        const x = f64x2.mul(f64x2.mul(v128.load(a + i), v128.load(b + i)), v128.load(c + i));
        const y = f64x2.mul(f64x2.mul(v128.load(a + i, 16), v128.load(b + i, 16)), v128.load(c + i, 16));
        v128.store(o + i, x);
        v128.store(o + i, y, 16);
      }
      for (; i < bytes; i += 16)
        v128.store(o + i, f64x2.mul(f64x2.mul(v128.load(a + i), v128.load(b + i)), v128.load(c + i)));
      break;
    case op.SPREAD_RUNS:
      spreadRuns(o, a, offsets, segments, from, len);
      break;
    case op.SPREAD_INDEX:
      spreadIndex(o, a, index, from, len);
      break;
    case op.SUM_RUNS:
      sumRuns(o, a, offsets, segments, scratch, from, len);
      break;
    case op.SUM_PRODUCTS:
      sumProducts(o, a, b, offsets, segments, scratch, from, len);
      break;
    case op.SUM_INDEX:
      sumIndex(o, a, index, from, len);
      break;
    case op.MAX_RUNS:
      extremeRuns(o, a, offsets, segments, 1, from, len);
      break;
    case op.MAX_INDEX:
      extremeIndex(o, a, index, 1, from, len);
      break;
    case op.MIN_RUNS:
      extremeRuns(o, a, offsets, segments, -1, from, len);
      break;
    case op.MIN_INDEX:
      extremeIndex(o, a, index, -1, from, len);
      break;
    default:
      unreachable();
  }
}

export function fill(out: usize, n: i32, value: f64): void {
  const pair = f64x2.splat(value);
  for (let i: usize = 0; i < (<usize>(n + 1) >>> 1) << 4; i += 16) v128.store(out + i, pair);
}

/** Replaces the infinities that empty segments are left with by 0. */
export function settle(out: usize, n: i32): void {
  for (let i: usize = 0; i < (<usize>n << 3); i += 8) {
    if (Math.abs(load<f64>(out + i)) == Infinity) store<f64>(out + i, 0.0);
  }
}

/** Position of the first element that is NaN, infinite, or above the limit; −1 where there is none. */
export function firstFault(x: usize, n: i32, limit: f64): i32 {
  const bytes = <usize>n << 3;
  const most = f64x2.splat(limit);
  let i: usize = 0;
  // x − x is 0 for a finite x and NaN for all others: one sum tells of eight elements at once.
  for (; i + 64 <= bytes; i += 64) {
    const p = v128.load(x + i);
    const q = v128.load(x + i, 16);
    const r = v128.load(x + i, 32);
    const s = v128.load(x + i, 48);
    const d = f64x2.add(f64x2.add(f64x2.sub(p, p), f64x2.sub(q, q)), f64x2.add(f64x2.sub(r, r), f64x2.sub(s, s)));
    const top = f64x2.pmax(f64x2.pmax(p, q), f64x2.pmax(r, s));
    if (v128.any_true(v128.or(f64x2.ne(d, d), f64x2.gt(top, most)))) break;
  }
  for (; i < bytes; i += 8) {
    const v = load<f64>(x + i);
    if (v - v != 0.0 || v > limit) return <i32>(i >>> 3);
  }
  return -1;
}
