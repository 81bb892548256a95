/**
 * Rounding, flushing and multiply-add: the three primitives that exactness stands on (docs: exactness, rules 1 and 6).
 *
 * A product of two f32 numbers with at most 12 significant bits each is exact in f32, so that a fused and an unfused
 * multiply-add give the same bits. Operands of every matmul-like kernel therefore go through `round12`.
 */

/**
 * Constants of the loops below, in memory: a splat of a literal is built anew in every turn of a loop, by three
 * instructions or more; a broadcasting load is one.
 */
const MEMORY: usize = memory.data<u32>([0x7ff, 0x26800000 /* 2^-50 */, 0x0d800000 /* 2^-100 */, 0xfffff000, 0x7fffffff], 16);

/** Number i of a table of four-byte constants, in all lanes. */
// @ts-ignore: decorator
@inline
export function constant(table: usize, i: usize): v128 {
  return v128.load_splat<u32>(table + (i << 2));
}

/** 2^-50: operands below it become +0, so that no product or partial sum is ever subnormal. */
export const TINY: f32 = 8.881784197001252e-16;
/** 2^-100: optimizer moments below it become +0. */
export const TINY_MOMENT: f32 = 7.888609052210118e-31;

// @ts-ignore: decorator
@inline
export function flush(x: v128, tiny: f32): v128 {
  // `tiny` is a literal wherever this is inlined.
  // |x| by a constant from memory: V8 builds the one of f32x4.abs anew at each use.
  return v128.and(x, f32x4.ge(v128.and(x, magnitude()), constant(MEMORY, tiny == TINY ? 1 : 2)));
}

// @ts-ignore: decorator
@inline
export function flushScalar(x: f32, tiny: f32): f32 {
  return abs(x) >= tiny ? x : 0;
}

/** What `round12By` takes, for loops that keep it in registers: 0x7ff, the bits that stay, those of |x|, 2^-50. */
// @ts-ignore: decorator
@inline
export function half12(): v128 {
  return constant(MEMORY, 0);
}
// @ts-ignore: decorator
@inline
export function bits12(): v128 {
  return constant(MEMORY, 3);
}
// @ts-ignore: decorator
@inline
export function magnitude(): v128 {
  return constant(MEMORY, 4);
}
// @ts-ignore: decorator
@inline
export function tiniest(): v128 {
  return constant(MEMORY, 1);
}

/** round12 with its constants in registers: eight operations. */
// @ts-ignore: decorator
@inline
export function round12By(x: v128, half: v128, bits: v128, magnitude: v128, tiniest: v128): v128 {
  const even = i32x4.shr_u(i32x4.shl(x, 19), 31);
  const up = i32x4.add(i32x4.add(x, half), even);
  return v128.and(v128.and(up, bits), f32x4.ge(v128.and(x, magnitude), tiniest));
}

/** Nearest-even to 12 significant bits; |x| < 2^-50 becomes +0. */
// @ts-ignore: decorator
@inline
export function round12(x: v128): v128 {
  return round12By(x, half12(), bits12(), magnitude(), tiniest());
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
