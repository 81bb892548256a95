//# uses simd
// C[m, n] = init + A[m, k] · B[k, n]: every dense product of the model, forward and backward. Twin of core/wasm/matmul.ts.
//
// Order: each element of C is one accumulator in a register, k ascending, starting from 0 (mode 0), from C (mode 1) or
// from bias[n] (mode 2); with precision 24 (SPLIT) each k adds hi·hi, hi·lo, lo·hi. Operands are rounded when staged into
// workgroup memory, so the inner loop may be fused or not. A and B may lie either way round: of their two strides at
// least one is 1. A workgroup of 8 × 8 makes a tile of 32 × 32, an invocation 4 × 4 of it; where C is larger than that
// (LARGE) the tile is 64 × 64 and an invocation has four such blocks, 32 rows or columns apart.
// Constants: GROUPS = groups of four rows or columns in a tile (8 or 16), STAGED = 16 · GROUPS, REST = STAGED or 1.

//# kernel matmul
const TILE_K: u32 = 16u;
const BLOCKS: u32 = select(1u, 4u, LARGE);
/// [k][groups of 4 rows]
var<workgroup> tileA: array<vec4<f32>, STAGED>;
/// [k][groups of 4 columns]
var<workgroup> tileB: array<vec4<f32>, STAGED>;
var<workgroup> restA: array<vec4<f32>, REST>;
var<workgroup> restB: array<vec4<f32>, REST>;

/// Past the end reads some element of the operand, and takes 0.
fn elementA(i: u32, kk: u32) -> f32 {
  return select(0.0, a[i * params.aRow + kk * params.aK], i < params.m && kk < params.k);
}

fn elementB(kk: u32, j: u32) -> f32 {
  return select(0.0, b[kk * params.bK + j * params.bCol], j < params.n && kk < params.k);
}

/// Accumulators of 4 rows × 4 columns.
struct Block {
  r0: vec4<f32>,
  r1: vec4<f32>,
  r2: vec4<f32>,
  r3: vec4<f32>,
}

/// acc + x yᵀ
fn accumulate(acc: Block, x: vec4<f32>, y: vec4<f32>) -> Block {
  return Block(acc.r0 + x.x * y, acc.r1 + x.y * y, acc.r2 + x.z * y, acc.r3 + x.w * y);
}

/// The step of one k for the block of row group i and column group j.
fn step(acc: Block, kk: u32, i: u32, j: u32) -> Block {
  let x = tileA[kk * GROUPS + i];
  let y = tileB[kk * GROUPS + j];
  var next = accumulate(acc, x, y);
  if (SPLIT) {
    next = accumulate(next, x, restB[kk * GROUPS + j]);
    next = accumulate(next, restA[kk * GROUPS + i], y);
  }
  return next;
}

fn initial(i: u32, j: u32) -> f32 {
  if (i >= params.m || j >= params.n) {
    return 0.0;
  }
  if (params.mode == 2u) {
    return bias[j];
  }
  return c[i * params.ldc + j];
}

fn load(i: u32, j: u32) -> Block {
  var start: array<vec4<f32>, 4>;
  for (var e = 0u; e < 16u; e++) {
    start[e / 4u][e % 4u] = initial(i + e / 4u, j + e % 4u);
  }
  return Block(start[0], start[1], start[2], start[3]);
}

fn store(i: u32, j: u32, acc: Block) {
  let end = array<vec4<f32>, 4>(acc.r0, acc.r1, acc.r2, acc.r3);
  for (var e = 0u; e < 16u; e++) {
    if (i + e / 4u < params.m && j + e % 4u < params.n) {
      c[(i + e / 4u) * params.ldc + j + e % 4u] = end[e / 4u][e % 4u];
    }
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
  let columns = (params.n + 4u * GROUPS - 1u) / (4u * GROUPS);
  let row0 = (tile / columns) * 4u * GROUPS;
  let col0 = (tile % columns) * 4u * GROUPS;
  if (row0 >= params.m) {
    return;
  }
  let rows4 = lane / 8u;
  let cols4 = lane % 8u;
  let i = row0 + rows4 * 4u;
  let j = col0 + cols4 * 4u;
  let none = vec4<f32>(0.0);
  let zeros = Block(none, none, none, none);
  var blocks = array<Block, 4>(zeros, zeros, zeros, zeros);
  if (params.mode != 0u) {
    for (var q = 0u; q < BLOCKS; q++) {
      blocks[q] = load(i + 32u * (q / 2u), j + 32u * (q % 2u));
    }
  }
  var acc = blocks[0];
  // Right, below, and both.
  var accR = blocks[1];
  var accB = blocks[2];
  var accRB = blocks[3];
  for (var k0 = 0u; k0 < params.k; k0 += TILE_K) {
    // Neighbouring invocations read neighbouring words, whichever way round the operand lies.
    for (var e = lane; e < STAGED; e += 64u) {
      let alongK = params.aK == 1u;
      let kk = select(e / GROUPS, e % TILE_K, alongK);
      let four = select(e % GROUPS, e / TILE_K, alongK);
      let at = row0 + four * 4u;
      let v = vec4<f32>(
        elementA(at, k0 + kk),
        elementA(at + 1u, k0 + kk),
        elementA(at + 2u, k0 + kk),
        elementA(at + 3u, k0 + kk),
      );
      let high = round12x4(v);
      tileA[kk * GROUPS + four] = high;
      if (SPLIT) {
        restA[kk * GROUPS + four] = rest12x4(v, high);
      }
    }
    for (var e = lane; e < STAGED; e += 64u) {
      let alongK = params.bK == 1u;
      let kk = select(e / GROUPS, e % TILE_K, alongK);
      let four = select(e % GROUPS, e / TILE_K, alongK);
      let at = col0 + four * 4u;
      let v = vec4<f32>(
        elementB(k0 + kk, at),
        elementB(k0 + kk, at + 1u),
        elementB(k0 + kk, at + 2u),
        elementB(k0 + kk, at + 3u),
      );
      let high = round12x4(v);
      tileB[kk * GROUPS + four] = high;
      if (SPLIT) {
        restB[kk * GROUPS + four] = rest12x4(v, high);
      }
    }
    workgroupBarrier();
    // Not past k: a padded step would turn an accumulator of −0 into +0.
    let steps = min(TILE_K, params.k - k0);
    for (var kk = 0u; kk < steps; kk++) {
      acc = step(acc, kk, rows4, cols4);
      if (LARGE) {
        accR = step(accR, kk, rows4, cols4 + 8u);
        accB = step(accB, kk, rows4 + 8u, cols4);
        accRB = step(accRB, kk, rows4 + 8u, cols4 + 8u);
      }
    }
    workgroupBarrier();
  }
  blocks = array<Block, 4>(acc, accR, accB, accRB);
  for (var q = 0u; q < BLOCKS; q++) {
    store(i + 32u * (q / 2u), j + 32u * (q % 2u), blocks[q]);
  }
}
