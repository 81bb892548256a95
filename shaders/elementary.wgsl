//# uses simd
// Elementary functions from + − × , integer bit work, floor and compares alone, in the same order of operations as
// core/wasm/elementary.ts, where the errors are stated.

/// e^x. Arguments below −86 give 0, above 88 count as 88.
fn exp1(x: f32) -> f32 {
  let c = min(max(x, -86.0), 88.0);
  let n = floor(plus(times(c, 1.44269504), 0.5));
  var r = minus(c, times(n, 0.693359375));
  r = minus(r, times(n, -2.12194440e-4));
  var p = 1.9875691500e-4;
  p = plus(times(p, r), 1.3981999507e-3);
  p = plus(times(p, r), 8.3334519073e-3);
  p = plus(times(p, r), 4.1665795894e-2);
  p = plus(times(p, r), 1.6666665459e-1);
  p = plus(times(p, r), 5.0000001201e-1);
  p = plus(times(times(p, r), r), r);
  p = plus(p, 1.0);
  let scale = bitcast<f32>(u32(i32(n) + 127) << 23u);
  return select(0.0, times(p, scale), x >= -86.0);
}

/// Natural logarithm of a positive normal number.
fn log1(x: f32) -> f32 {
  // x = m · 2^e with m in [√½, √2)
  let shifted = bitcast<u32>(x) - 0x3f3504f3u;
  let e = f32(bitcast<i32>(shifted) >> 23u);
  let m = bitcast<f32>((shifted & 0x007fffffu) + 0x3f3504f3u);
  let r = minus(m, 1.0);
  let z = times(r, r);
  var p = 7.0376836292e-2;
  p = plus(times(p, r), -1.1514610310e-1);
  p = plus(times(p, r), 1.1676998740e-1);
  p = plus(times(p, r), -1.2420140846e-1);
  p = plus(times(p, r), 1.4249322787e-1);
  p = plus(times(p, r), -1.6668057665e-1);
  p = plus(times(p, r), 2.0000714765e-1);
  p = plus(times(p, r), -2.4999993993e-1);
  p = plus(times(p, r), 3.3333331174e-1);
  p = times(p, r);
  p = times(p, z);
  p = plus(p, times(e, -2.12194440e-4));
  p = minus(p, times(z, 0.5));
  return plus(plus(r, p), times(e, 0.693359375));
}

/// 1/x of a normal number of either sign with |x| in [2^-100, 2^100].
fn rcp1(x: f32) -> f32 {
  var y = bitcast<f32>(0x7ef311c7u - bitcast<u32>(x));
  y = times(y, minus(2.0, times(x, y)));
  y = times(y, minus(2.0, times(x, y)));
  y = times(y, minus(2.0, times(x, y)));
  return plus(y, times(y, minus(1.0, times(x, y))));
}

/// 1/√x of a positive number in [2^-100, 2^100].
fn rsqrt1(x: f32) -> f32 {
  let half = times(x, 0.5);
  var y = bitcast<f32>(0x5f3759dfu - (bitcast<u32>(x) >> 1u));
  y = times(y, minus(1.5, times(times(half, y), y)));
  y = times(y, minus(1.5, times(times(half, y), y)));
  y = times(y, minus(1.5, times(times(half, y), y)));
  return plus(y, times(y, minus(0.5, times(times(half, y), y))));
}

/// √x for x = 0 or x in [2^-100, 2^100].
fn sqrt1(x: f32) -> f32 {
  let y = rsqrt1(x);
  let s = times(x, y);
  let c = plus(s, times(times(0.5, y), minus(x, times(s, s))));
  return select(0.0, c, x > 0.0);
}

/// 1/(1 + e^−x); the exponent is clamped to 80, so that the result is never subnormal.
fn sigmoid1(x: f32) -> f32 {
  let e = exp1(min(-x, 80.0));
  return rcp1(plus(e, 1.0));
}
