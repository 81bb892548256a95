/**
 * Elementary functions from + − × , integer bit work, floor and compares alone, in the same order of operations as
 * shaders/elementary.wgsl. Errors are measured against f64 by test/elementary.test.ts, which fails if they grow.
 */

import { constant } from "./simd";

const EXP: usize = memory.data<f32>(
  [
    -86, 88, 1.44269504, 0.5, 0.693359375, -2.12194440e-4, 1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3,
    4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1, 12583039,
  ],
  16,
);
const NEWTON: usize = memory.data<f32>([2, 1, 0.5, 1.5], 16);
const GUESS: usize = memory.data<u32>([0x7ef311c7, 0x5f3759df], 16);
const SIGMOID: usize = memory.data<f32>([80, 1], 16);

/** e^x. Arguments below −86 give 0, above 88 count as 88. Max error 1.3 ulp on [−86, 88]. After Cephes expf. */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  // pmin and pmax are one instruction each; with constants that are no zeros they give what min and max give.
  return expUpTo88(f32x4.pmin(x, constant(EXP, 1)));
}

// @ts-ignore: decorator
@inline
function expUpTo88(x: v128): v128 {
  const least = constant(EXP, 0);
  const c = f32x4.pmax(x, least);
  const n = f32x4.floor(f32x4.add(f32x4.mul(c, constant(EXP, 2)), constant(EXP, 3)));
  let r = f32x4.sub(c, f32x4.mul(n, constant(EXP, 4)));
  r = f32x4.sub(r, f32x4.mul(n, constant(EXP, 5)));
  let p = constant(EXP, 6);
  p = f32x4.add(f32x4.mul(p, r), constant(EXP, 7));
  p = f32x4.add(f32x4.mul(p, r), constant(EXP, 8));
  p = f32x4.add(f32x4.mul(p, r), constant(EXP, 9));
  p = f32x4.add(f32x4.mul(p, r), constant(EXP, 10));
  p = f32x4.add(f32x4.mul(p, r), constant(EXP, 11));
  p = f32x4.add(f32x4.mul(f32x4.mul(p, r), r), r);
  p = f32x4.add(p, constant(EXP, 12));
  // n + 127 + 1.5 · 2^23 is exact: its low bits are the exponent field, and the shift drops the rest.
  const scale = i32x4.shl(f32x4.add(n, constant(EXP, 13)), 23);
  return v128.and(f32x4.mul(p, scale), f32x4.ge(x, least));
}

/**
 * to ← e^(from − m) for elements up to m, in `bytes` bytes (a multiple of 16); `m`: eight numbers, for every eight elements.
 * Alone, one exponential is a chain of dependent operations that the processor mostly waits for; here four go at once and
 * share the constants.
 */
export function expRow(to: usize, from: usize, bytes: usize, m: usize): void {
  const m0 = v128.load(m), m1 = v128.load(m, 16);
  let o: usize = 0;
  for (const whole = bytes & ~63; o < whole; o += 64) {
    const e0 = expUpTo88(f32x4.sub(v128.load(from + o), m0));
    const e1 = expUpTo88(f32x4.sub(v128.load(from + o, 16), m1));
    const e2 = expUpTo88(f32x4.sub(v128.load(from + o, 32), m0));
    const e3 = expUpTo88(f32x4.sub(v128.load(from + o, 48), m1));
    v128.store(to + o, e0);
    v128.store(to + o, e1, 16);
    v128.store(to + o, e2, 32);
    v128.store(to + o, e3, 48);
  }
  for (; o < bytes; o += 16) v128.store(to + o, expUpTo88(f32x4.sub(v128.load(from + o), o & 16 ? m1 : m0)));
}

// @ts-ignore: decorator
@inline
export function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0);
}

/** Natural logarithm of a positive normal number. Max error 1 ulp (0.6e-7 absolute near 1). After Cephes logf. */
export function log1(x: f32): f32 {
  const bits = reinterpret<u32>(x);
  // x = m · 2^e with m in [√½, √2)
  const shifted = bits - 0x3f3504f3;
  const e = <f32>(<i32>shifted >> 23);
  const m = reinterpret<f32>((shifted & 0x007fffff) + 0x3f3504f3);
  const r: f32 = m - 1;
  const z: f32 = r * r;
  let p: f32 = 7.0376836292e-2;
  p = p * r + <f32>-1.1514610310e-1;
  p = p * r + <f32>1.1676998740e-1;
  p = p * r + <f32>-1.2420140846e-1;
  p = p * r + <f32>1.4249322787e-1;
  p = p * r + <f32>-1.6668057665e-1;
  p = p * r + <f32>2.0000714765e-1;
  p = p * r + <f32>-2.4999993993e-1;
  p = p * r + <f32>3.3333331174e-1;
  p = p * r;
  p = p * z;
  p = p + e * <f32>-2.12194440e-4;
  p = p - z * <f32>0.5;
  return r + p + e * <f32>0.693359375;
}

/** 1/x of a normal number of either sign with |x| in [2^-100, 2^100]. Max error 1.3 ulp. Magic guess, four Newton steps. */
// @ts-ignore: decorator
@inline
export function rcp4(x: v128): v128 {
  const two = constant(NEWTON, 0);
  let y = i32x4.sub(constant(GUESS, 0), x);
  y = f32x4.mul(y, f32x4.sub(two, f32x4.mul(x, y)));
  y = f32x4.mul(y, f32x4.sub(two, f32x4.mul(x, y)));
  y = f32x4.mul(y, f32x4.sub(two, f32x4.mul(x, y)));
  // The last step in the form y + y(1 − xy) loses fewer bits.
  return f32x4.add(y, f32x4.mul(y, f32x4.sub(constant(NEWTON, 1), f32x4.mul(x, y))));
}

// @ts-ignore: decorator
@inline
export function rcp1(x: f32): f32 {
  return f32x4.extract_lane(rcp4(f32x4.splat(x)), 0);
}

/** 1/√x of a positive number in [2^-100, 2^100]. Max error 1.5 ulp. Magic guess, four Newton steps. */
// @ts-ignore: decorator
@inline
export function rsqrt4(x: v128): v128 {
  const half = f32x4.mul(x, constant(NEWTON, 2));
  const more = constant(NEWTON, 3);
  let y = i32x4.sub(constant(GUESS, 1), i32x4.shr_u(x, 1));
  y = f32x4.mul(y, f32x4.sub(more, f32x4.mul(f32x4.mul(half, y), y)));
  y = f32x4.mul(y, f32x4.sub(more, f32x4.mul(f32x4.mul(half, y), y)));
  y = f32x4.mul(y, f32x4.sub(more, f32x4.mul(f32x4.mul(half, y), y)));
  return f32x4.add(y, f32x4.mul(y, f32x4.sub(constant(NEWTON, 2), f32x4.mul(f32x4.mul(half, y), y))));
}

// @ts-ignore: decorator
@inline
export function rsqrt1(x: f32): f32 {
  return f32x4.extract_lane(rsqrt4(f32x4.splat(x)), 0);
}

/** √x for x = 0 or x in [2^-100, 2^100]. Max error 1 ulp: x·rsqrt(x), then one correction by the residual. */
// @ts-ignore: decorator
@inline
export function sqrt4(x: v128): v128 {
  const y = rsqrt4(x);
  const s = f32x4.mul(x, y);
  const c = f32x4.add(s, f32x4.mul(f32x4.mul(constant(NEWTON, 2), y), f32x4.sub(x, f32x4.mul(s, s))));
  return v128.and(c, f32x4.gt(x, f32x4.splat(0)));
}

/** 1/(1 + e^−x); the exponent is clamped to 80, so that the result is never subnormal. Max error 3 ulp. */
// @ts-ignore: decorator
@inline
export function sigmoid4(x: v128): v128 {
  const e = expUpTo88(f32x4.pmin(f32x4.neg(x), constant(SIGMOID, 0)));
  return rcp4(f32x4.add(e, constant(SIGMOID, 1)));
}

/** Bench and test access: applies function `which` (0 exp, 1 log, 2 rcp, 3 rsqrt, 4 sqrt, 5 sigmoid) to n elements (n a multiple of 4). */
export function elementary(out: usize, x: usize, n: i32, which: i32): void {
  for (let i: usize = 0; i < <usize>n << 2; i += 16) {
    const v = v128.load(x + i);
    let y = v;
    if (which == 0) y = exp4(v);
    else if (which == 2) y = rcp4(v);
    else if (which == 3) y = rsqrt4(v);
    else if (which == 4) y = sqrt4(v);
    else if (which == 5) y = sigmoid4(v);
    else if (which == 1) {
      y = f32x4.splat(log1(f32x4.extract_lane(v, 0)));
      y = f32x4.replace_lane(y, 1, log1(f32x4.extract_lane(v, 1)));
      y = f32x4.replace_lane(y, 2, log1(f32x4.extract_lane(v, 2)));
      y = f32x4.replace_lane(y, 3, log1(f32x4.extract_lane(v, 3)));
    }
    v128.store(out + i, y);
  }
}
