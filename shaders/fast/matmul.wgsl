//# uses simd
// C = init + A · B for `precision: "fast"`: the strides and modes of shaders/matmul.wgsl, operands unrounded, fused
// multiply-add. Each of 64 invocations makes 4 × 4 of a tile of 32 × 32, or 8 × 8 of 64 × 64 (LARGE), from 16 of k staged in
// workgroup memory as Staged: f32, or f16 in the forward products of adapters that have it (half the memory, half the
// loads; sums stay f32). f16 holds no gradient: they are too small for its range.

//# kernel matmul
const TILE_K: u32 = 16u;
/// Groups of four rows (or columns) an invocation makes.
const SIDE: u32 = select(1u, 2u, LARGE);
/// [k][groups of 4 rows]
var<workgroup> tileA: array<Staged, STAGED>;
/// [k][groups of 4 columns]
var<workgroup> tileB: array<Staged, STAGED>;

fn elementA(i: u32, kk: u32) -> f32 {
  return select(0.0, a[i * params.aRow + kk * params.aK], i < params.m && kk < params.k);
}

fn elementB(kk: u32, j: u32) -> f32 {
  return select(0.0, b[kk * params.bK + j * params.bCol], j < params.n && kk < params.k);
}

fn initial(i: u32, j: u32) -> f32 {
  if (params.mode == 0u || i >= params.m || j >= params.n) {
    return 0.0;
  }
  if (params.mode == 2u) {
    return bias[j];
  }
  return c[i * params.ldc + j];
}

@compute @workgroup_size(64)
fn matmul(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = groupIndex(group, groups);
  let columns = (params.n + 4u * GROUPS - 1u) / (4u * GROUPS);
  let row0 = (tile / columns) * 4u * GROUPS;
  let col0 = (tile % columns) * 4u * GROUPS;
  if (row0 >= params.m) {
    return;
  }
  let rows4 = lane / 8u;
  let cols4 = lane % 8u;
  // acc[p][q][r]: row r of the block p groups down, q groups right.
  var acc: array<array<array<vec4<f32>, 4>, 2>, 2>;
  for (var k0 = 0u; k0 < params.k; k0 += TILE_K) {
    for (var e = lane; e < STAGED; e += 64u) {
      let alongK = params.aK == 1u;
      let kk = select(e / GROUPS, e % TILE_K, alongK);
      let four = select(e % GROUPS, e / TILE_K, alongK);
      let at = row0 + four * 4u;
      tileA[kk * GROUPS + four] = stage(vec4<f32>(
        elementA(at, k0 + kk),
        elementA(at + 1u, k0 + kk),
        elementA(at + 2u, k0 + kk),
        elementA(at + 3u, k0 + kk),
      ));
    }
    for (var e = lane; e < STAGED; e += 64u) {
      let alongK = params.bK == 1u;
      let kk = select(e / GROUPS, e % TILE_K, alongK);
      let four = select(e % GROUPS, e / TILE_K, alongK);
      let at = col0 + four * 4u;
      tileB[kk * GROUPS + four] = stage(vec4<f32>(
        elementB(k0 + kk, at),
        elementB(k0 + kk, at + 1u),
        elementB(k0 + kk, at + 2u),
        elementB(k0 + kk, at + 3u),
      ));
    }
    workgroupBarrier();
    for (var kk = 0u; kk < TILE_K; kk++) {
      for (var p = 0u; p < SIDE; p++) {
        let x = vec4<f32>(tileA[kk * GROUPS + rows4 + 8u * p]);
        for (var q = 0u; q < SIDE; q++) {
          let y = vec4<f32>(tileB[kk * GROUPS + cols4 + 8u * q]);
          acc[p][q][0] = fma(vec4<f32>(x.x), y, acc[p][q][0]);
          acc[p][q][1] = fma(vec4<f32>(x.y), y, acc[p][q][1]);
          acc[p][q][2] = fma(vec4<f32>(x.z), y, acc[p][q][2]);
          acc[p][q][3] = fma(vec4<f32>(x.w), y, acc[p][q][3]);
        }
      }
    }
    workgroupBarrier();
  }
  for (var p = 0u; p < SIDE; p++) {
    for (var q = 0u; q < SIDE; q++) {
      for (var e = 0u; e < 16u; e++) {
        let i = row0 + (rows4 + 8u * p) * 4u + e / 4u;
        let j = col0 + (cols4 + 8u * q) * 4u + e % 4u;
        if (i < params.m && j < params.n) {
          c[i * params.ldc + j] = initial(i, j) + acc[p][q][e / 4u][e % 4u];
        }
      }
    }
  }
}
