/**
 * Rounding, flushing and multiply-add: the three primitives that exactness stands on (docs: exactness, rules 1 and 6).
 *
 * A product of two f32 numbers with at most 12 significant bits each is exact in f32, so that a fused and an unfused
 * multiply-add give the same bits. Operands of every matmul-like kernel therefore go through `round12`.
 */

/** 2^-50: operands below it become +0, so that no product or partial sum is ever subnormal. */
export const TINY: f32 = 8.881784197001252e-16;
/** 2^-100: optimizer moments below it become +0. */
export const TINY_MOMENT: f32 = 7.888609052210118e-31;

// @ts-ignore: decorator
@inline
export function flush(x: v128, tiny: f32): v128 {
  return v128.and(x, f32x4.ge(f32x4.abs(x), f32x4.splat(tiny)));
}

// @ts-ignore: decorator
@inline
export function flushScalar(x: f32, tiny: f32): f32 {
  return abs(x) >= tiny ? x : 0;
}

/** Nearest-even to 12 significant bits; |x| < 2^-50 becomes +0. */
// @ts-ignore: decorator
@inline
export function round12(x: v128): v128 {
  const even = v128.and(i32x4.shr_u(x, 12), i32x4.splat(1));
  const up = i32x4.add(i32x4.add(x, i32x4.splat(0x7ff)), even);
  return v128.and(v128.and(up, i32x4.splat(0xfffff000)), f32x4.ge(f32x4.abs(x), f32x4.splat(TINY)));
}

// @ts-ignore: decorator
@inline
export function round12Scalar(x: f32): f32 {
  const u = reinterpret<u32>(x);
  const r = reinterpret<f32>((u + 0x7ff + ((u >> 12) & 1)) & 0xfffff000);
  return abs(x) >= TINY ? r : 0;
}

/** c + a·b. The products are exact, so relaxed (fused or not) and plain SIMD give the same bits. */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(c, f32x4.mul(a, b));
}
