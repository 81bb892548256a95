// The prelude of `precision: "fast"`: the same names as shaders/simd.wgsl, with nothing kept from the compiler. Products
// are not rounded, sums may be contracted and reassociated; results agree with the exact kernels within tolerances
// (test/gpu-fast.test.ts), not in bits.

var<private> zero: u32;

fn begin(lane: u32) {
  zero = 0u;
}

const TINY: f32 = 8.881784197001252e-16;
const TINY_MOMENT: f32 = 7.888609052210118e-31;

fn keep(x: f32) -> f32 {
  return x;
}

fn plus(a: f32, b: f32) -> f32 {
  return a + b;
}

fn minus(a: f32, b: f32) -> f32 {
  return a - b;
}

fn times(a: f32, b: f32) -> f32 {
  return a * b;
}

fn flush(x: f32, tiny: f32) -> f32 {
  return x;
}

fn round12(x: f32) -> f32 {
  return x;
}

fn round12x4(x: vec4<f32>) -> vec4<f32> {
  return x;
}

fn rest12(x: f32, high: f32) -> f32 {
  return 0.0;
}

fn rest12x4(x: vec4<f32>, high: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(0.0);
}

/// Number of this workgroup in a dispatch that was folded into two dimensions.
fn groupIndex(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}
