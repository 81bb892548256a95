//# uses simd
// The built-in functions under the names of shaders/elementary.wgsl. Arguments are bounded as there, so that no infinity
// and no NaN arises, which WGSL may assume not to exist.

fn exp1(x: f32) -> f32 {
  return select(0.0, exp(min(x, 88.0)), x >= -86.0);
}

fn log1(x: f32) -> f32 {
  return log(x);
}

fn rcp1(x: f32) -> f32 {
  return 1.0 / x;
}

fn rsqrt1(x: f32) -> f32 {
  return inverseSqrt(x);
}

fn sqrt1(x: f32) -> f32 {
  return sqrt(max(x, 0.0));
}

fn sigmoid1(x: f32) -> f32 {
  return 1.0 / (1.0 + exp(min(-x, 80.0)));
}
