//# uses simd
// C[m, n] = init + A[m, k] · B[k, n]: every dense product of the model, forward and backward. Twin of core/wasm/matmul.ts.
//
// Order: each element of C is one accumulator in a register, k ascending, starting from 0 (mode 0), from C (mode 1) or
// from bias[n] (mode 2); with precision 24 (SPLIT) each k adds hi·hi, hi·lo, lo·hi. Operands are rounded when staged into
// workgroup memory, so the inner loop may be fused or not. A and B may lie either way round: of their two strides at
// least one is 1. A workgroup of 8 × 8 makes a tile of 32 × 32, an invocation 4 × 4 of it.

//# kernel matmul
const TILE_K: u32 = 16u;
/// [k][8 groups of 4 rows]
var<workgroup> tileA: array<vec4<f32>, 128>;
/// [k][8 groups of 4 columns]
var<workgroup> tileB: array<vec4<f32>, 128>;
var<workgroup> restA: array<vec4<f32>, REST>;
var<workgroup> restB: array<vec4<f32>, REST>;

fn elementA(i: u32, kk: u32) -> f32 {
  if (i >= params.m || kk >= params.k) {
    return 0.0;
  }
  return a[i * params.aRow + kk * params.aK];
}

fn elementB(kk: u32, j: u32) -> f32 {
  if (j >= params.n || kk >= params.k) {
    return 0.0;
  }
  return b[kk * params.bK + j * params.bCol];
}

fn initial(i: u32, j: u32) -> f32 {
  if (i >= params.m || j >= params.n || params.mode == 0u) {
    return 0.0;
  }
  if (params.mode == 2u) {
    return bias[j];
  }
  return c[i * params.ldc + j];
}

fn initialRow(i: u32, j: u32) -> vec4<f32> {
  return vec4<f32>(initial(i, j), initial(i, j + 1u), initial(i, j + 2u), initial(i, j + 3u));
}

fn storeRow(i: u32, j: u32, v: vec4<f32>) {
  if (i >= params.m) {
    return;
  }
  let at = i * params.ldc + j;
  if (j < params.n) {
    c[at] = v.x;
  }
  if (j + 1u < params.n) {
    c[at + 1u] = v.y;
  }
  if (j + 2u < params.n) {
    c[at + 2u] = v.z;
  }
  if (j + 3u < params.n) {
    c[at + 3u] = v.w;
  }
}

@compute @workgroup_size(64)
fn matmul(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let tile = groupIndex(group, groups);
  let columns = (params.n + 31u) / 32u;
  let row0 = (tile / columns) * 32u;
  let col0 = (tile % columns) * 32u;
  if (row0 >= params.m) {
    return;
  }
  let rows4 = lane / 8u;
  let cols4 = lane % 8u;
  let i = row0 + rows4 * 4u;
  let j = col0 + cols4 * 4u;
  var acc0 = initialRow(i, j);
  var acc1 = initialRow(i + 1u, j);
  var acc2 = initialRow(i + 2u, j);
  var acc3 = initialRow(i + 3u, j);
  for (var k0 = 0u; k0 < params.k; k0 += TILE_K) {
    // Neighbouring invocations read neighbouring words, whichever way round the operand lies.
    for (var e = lane; e < 128u; e += 64u) {
      let alongK = params.aK == 1u;
      let kk = select(e / 8u, e % TILE_K, alongK);
      let four = select(e % 8u, e / TILE_K, alongK);
      let ai = row0 + four * 4u;
      let v = vec4<f32>(
        elementA(ai, k0 + kk),
        elementA(ai + 1u, k0 + kk),
        elementA(ai + 2u, k0 + kk),
        elementA(ai + 3u, k0 + kk),
      );
      let high = round12x4(v);
      tileA[kk * 8u + four] = high;
      if (SPLIT) {
        restA[kk * 8u + four] = rest12x4(v, high);
      }
    }
    for (var e = lane; e < 128u; e += 64u) {
      let alongK = params.bK == 1u;
      let kk = select(e / 8u, e % TILE_K, alongK);
      let four = select(e % 8u, e / TILE_K, alongK);
      let bj = col0 + four * 4u;
      let v = vec4<f32>(
        elementB(k0 + kk, bj),
        elementB(k0 + kk, bj + 1u),
        elementB(k0 + kk, bj + 2u),
        elementB(k0 + kk, bj + 3u),
      );
      let high = round12x4(v);
      tileB[kk * 8u + four] = high;
      if (SPLIT) {
        restB[kk * 8u + four] = rest12x4(v, high);
      }
    }
    workgroupBarrier();
    // Not past k: a padded step would turn an accumulator of −0 into +0.
    let steps = min(TILE_K, params.k - k0);
    for (var kk = 0u; kk < steps; kk++) {
      let x = tileA[kk * 8u + rows4];
      let y = tileB[kk * 8u + cols4];
      acc0 += x.x * y;
      acc1 += x.y * y;
      acc2 += x.z * y;
      acc3 += x.w * y;
      if (SPLIT) {
        let yr = restB[kk * 8u + cols4];
        acc0 += x.x * yr;
        acc1 += x.y * yr;
        acc2 += x.z * yr;
        acc3 += x.w * yr;
        let xr = restA[kk * 8u + rows4];
        acc0 += xr.x * y;
        acc1 += xr.y * y;
        acc2 += xr.z * y;
        acc3 += xr.w * y;
      }
    }
    workgroupBarrier();
  }
  storeRow(i, j, acc0);
  storeRow(i + 1u, j, acc1);
  storeRow(i + 2u, j, acc2);
  storeRow(i + 3u, j, acc3);
}
