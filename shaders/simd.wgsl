// Rounding, flushing and the one-rounding arithmetic that exactness stands on; twin of core/wasm/simd.ts.
//
// A driver may contract x*y + z, reassociate sums and merge constants. What goes through `keep` it cannot see through:
// `plus`, `minus` and `times` are IEEE operations, one rounding each. The inner loops of products need none of it: their
// operands are rounded so that fused and unfused are the same number.

/// 0, which no compiler knows. It is read at a place that differs between invocations, because llvmpipe compiles a
/// shader anew with the values of uniforms in it; every entry point begins with `begin`.
var<private> zero: u32;

fn begin(lane: u32) {
  zero = params.zeros[lane & 3u].x;
}

/// 2^-50: operands below it become +0, so that no product or partial sum is ever subnormal.
const TINY: f32 = 8.881784197001252e-16;
/// 2^-100: optimizer moments below it become +0.
const TINY_MOMENT: f32 = 7.888609052210118e-31;

fn keep(x: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(x) ^ zero);
}

fn plus(a: f32, b: f32) -> f32 {
  return keep(a + b);
}

fn minus(a: f32, b: f32) -> f32 {
  return keep(a - b);
}

fn times(a: f32, b: f32) -> f32 {
  return keep(a * b);
}

fn flush(x: f32, tiny: f32) -> f32 {
  return select(0.0, x, abs(x) >= tiny);
}

/// Nearest-even to 12 significant bits; |x| < 2^-50 becomes +0.
fn round12(x: f32) -> f32 {
  let u = bitcast<u32>(x);
  let r = bitcast<f32>((u + 0x7ffu + ((u >> 12u) & 1u)) & 0xfffff000u);
  return select(0.0, r, abs(x) >= TINY);
}

fn round12x4(x: vec4<f32>) -> vec4<f32> {
  let u = bitcast<vec4<u32>>(x);
  let r = bitcast<vec4<f32>>((u + vec4<u32>(0x7ffu) + ((u >> vec4<u32>(12u)) & vec4<u32>(1u))) & vec4<u32>(0xfffff000u));
  return select(vec4<f32>(0.0), r, abs(x) >= vec4<f32>(TINY));
}

/// What round12 left of x, rounded itself: the low half of precision 24.
fn rest12(x: f32, high: f32) -> f32 {
  return round12(minus(x, high));
}

fn rest12x4(x: vec4<f32>, high: vec4<f32>) -> vec4<f32> {
  return round12x4(bitcast<vec4<f32>>(bitcast<vec4<u32>>(x - high) ^ vec4<u32>(zero)));
}

/// Number of this workgroup in a dispatch that was folded into two dimensions.
fn groupIndex(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}
