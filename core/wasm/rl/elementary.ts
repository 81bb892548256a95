/**
 * @file Elementary functions on two float64 at once, and the special functions that the recipes need.
 *
 * Nothing here returns NaN or infinity for a finite argument: exponents saturate, logarithms are bounded below.
 */

const MAGIC: f64 = 6755399441055744.0; // 1.5 · 2^52: adding it rounds to an integer that then sits in the low bits

/** Arguments of exp are clamped to ± this: e^300 ≈ 2e130, so that a product of two is still finite. */
export const EXP_LIMIT: f64 = 300.0;
/** The smallest normal number: logarithms of less are taken of this. */
export const TINY: f64 = 2.2250738585072014e-308;

/**
 * e^x for two numbers, x clamped to ±300; largest error measured 1 ulp. Reduction by k·ln 2 in two parts to |r| ≤ 0.3466,
 * then 1 + r + r²·(1/2 + r·q(r)), q of degree 8 by interpolation at Chebyshev nodes, even and odd powers apart for
 * instruction-level parallelism.
 */
// @ts-ignore: decorator
@inline
export function exp2x(x: v128): v128 {
  x = f64x2.pmax(f64x2.pmin(x, f64x2.splat(EXP_LIMIT)), f64x2.splat(-EXP_LIMIT));
  const t = f64x2.add(f64x2.mul(x, f64x2.splat(1.4426950408889634)), f64x2.splat(MAGIC));
  const k = f64x2.sub(t, f64x2.splat(MAGIC));
  let r = f64x2.sub(x, f64x2.mul(k, f64x2.splat(0.6931471803691238)));
  r = f64x2.sub(r, f64x2.mul(k, f64x2.splat(1.9082149292705877e-10)));
  const s = f64x2.mul(r, r);
  let odd = f64x2.splat(2.5095554677111112e-8);
  let even = f64x2.splat(2.761380686153829e-7);
  odd = f64x2.add(f64x2.mul(odd, s), f64x2.splat(2.755728006701698e-6));
  even = f64x2.add(f64x2.mul(even, s), f64x2.splat(2.4801536388690766e-5));
  odd = f64x2.add(f64x2.mul(odd, s), f64x2.splat(1.984126985433861e-4));
  even = f64x2.add(f64x2.mul(even, s), f64x2.splat(1.3888888905881542e-3));
  odd = f64x2.add(f64x2.mul(odd, s), f64x2.splat(8.333333333332155e-3));
  even = f64x2.add(f64x2.mul(even, s), f64x2.splat(4.166666666665136e-2));
  odd = f64x2.add(f64x2.mul(odd, s), f64x2.splat(0.16666666666666666));
  even = f64x2.add(f64x2.mul(even, s), f64x2.splat(0.5));
  const p = f64x2.add(f64x2.splat(1.0), f64x2.add(r, f64x2.mul(s, f64x2.add(even, f64x2.mul(odd, r)))));
  return f64x2.mul(p, i64x2.shl(i64x2.add(t, i64x2.splat(1023)), 52));
}

/** e^x, the same bits as a lane of exp2x. */
export function exp(x: f64): f64 {
  return f64x2.extract_lane(exp2x(f64x2.splat(x)), 0);
}

/** ln x; x below the smallest normal number counts as that. */
export function log(x: f64): f64 {
  return Math.log(x > TINY ? x : TINY);
}

/** x / y, and 0 where y is 0: every denominator of a policy objective is a count, a weight or a deviation. */
export function divide(x: f64, y: f64): f64 {
  return y == 0.0 ? 0.0 : x / y;
}

/** x^y for x ≥ 0 (a negative x counts as 0), saturating; 0^0 = 1. */
export function power(x: f64, y: f64): f64 {
  if (y == 0.0) return 1.0;
  if (y == 1.0) return x;
  if (y == 2.0) return x * x;
  if (x <= 0.0) return 0.0;
  const e = y * log(x);
  return e > EXP_LIMIT ? exp(EXP_LIMIT) : e < -EXP_LIMIT ? 0.0 : Math.pow(x, y);
}

/** ln σ(x) without overflow. */
export function logSigmoid(x: f64): f64 {
  return Math.min(x, 0.0) - Math.log1p(exp(-Math.abs(x)));
}

/** ln Γ(x), x > 0, by Stirling's series after raising x above 10; relative error below 1e-14. */
export function logGamma(x: f64): f64 {
  if (x < TINY) x = TINY;
  let shift: f64 = 0.0;
  while (x < 10.0) {
    shift += Math.log(x);
    x += 1.0;
  }
  const i = 1.0 / x;
  const s = i * i;
  const series =
    i *
    (1.0 / 12.0 -
      s * (1.0 / 360.0 - s * (1.0 / 1260.0 - s * (1.0 / 1680.0 - s * (1.0 / 1188.0 - s * (691.0 / 360360.0))))));
  return (x - 0.5) * Math.log(x) - x + 0.9189385332046727 + series - shift;
}

/** ψ(x) = d ln Γ / dx, x > 0, by the same shift. */
export function digamma(x: f64): f64 {
  if (x < TINY) x = TINY;
  let shift: f64 = 0.0;
  while (x < 10.0) {
    shift += 1.0 / x;
    x += 1.0;
  }
  const i = 1.0 / x;
  const s = i * i;
  return (
    Math.log(x) -
    0.5 * i -
    s * (1.0 / 12.0 - s * (1.0 / 120.0 - s * (1.0 / 252.0 - s * (1.0 / 240.0 - s * (1.0 / 132.0))))) -
    shift
  );
}
