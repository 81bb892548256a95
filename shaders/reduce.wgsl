//# uses simd
// Reductions in the one order: 64 interleaved lanes, lane l takes elements l, l+64, …, then a halving tree 32 … 1.
// One workgroup of 64 is the 64 lanes; its order is a function of the length alone. Twin of core/wasm/reduce.ts.

var<workgroup> lanes: array<f32, 64>;

/// The halving tree over the lanes' sums; every invocation gets the result.
fn lanesTree(lane: u32, sum: f32) -> f32 {
  lanes[lane] = sum;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half >>= 1u) {
    if (lane < half) {
      lanes[lane] = plus(lanes[lane], lanes[lane + half]);
    }
    workgroupBarrier();
  }
  let total = lanes[0];
  workgroupBarrier();
  return total;
}

/// Greatest of the lanes' values: order-free.
fn lanesMax(lane: u32, x: f32) -> f32 {
  lanes[lane] = x;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half >>= 1u) {
    if (lane < half) {
      lanes[lane] = max(lanes[lane], lanes[lane + half]);
    }
    workgroupBarrier();
  }
  let greatest = lanes[0];
  workgroupBarrier();
  return greatest;
}

//# kernel sumsq
/// out[offset + c] = Σ x² over chunk c of 4,096 elements, |x| < 2^-50 counted as 0.
@compute @workgroup_size(64)
fn sumsq(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let c = groupIndex(group, groups);
  if (c * 4096u >= params.n) {
    return;
  }
  let end = min(c * 4096u + 4096u, params.n);
  var sum = 0.0;
  for (var i = c * 4096u + lane; i < end; i += 64u) {
    let v = flush(x[i], TINY);
    sum = plus(sum, times(v, v));
  }
  let total = lanesTree(lane, sum);
  if (lane == 0u) {
    out[params.offset + c] = total;
  }
}

//# kernel bias_bwd
/// db[j] += Σ_r dy[r, j], r ascending, starting from what db holds.
@compute @workgroup_size(64)
fn bias_bwd(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let j = groupIndex(group, groups) * 64u + lane;
  if (j >= params.n) {
    return;
  }
  var acc = db[j];
  for (var r = 0u; r < params.rows; r++) {
    acc = plus(acc, dy[r * params.n + j]);
  }
  db[j] = acc;
}

//# kernel digest
fn mix(y: u32) -> u32 {
  var x = y;
  x ^= x >> 16u;
  x *= 0x85ebca6bu;
  x ^= x >> 13u;
  x *= 0xc2b2ae35u;
  return x ^ (x >> 16u);
}

/// Two sums mod 2^32 (so in any order) of a hash of each element's bits and place, added to out[2·slot] and out[2·slot+1].
@compute @workgroup_size(64)
fn digest(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let stride = groups.x * groups.y * 64u;
  var a = 0u;
  var b = 0u;
  for (var i = groupIndex(group, groups) * 64u + lane; i < params.n; i += stride) {
    let bits = x[i];
    let place = params.first + i;
    a += mix(bits ^ (place * 0x9e3779b1u + 0x7f4a7c15u));
    b += mix((bits + 0x6a09e667u) ^ (place * 0xbb67ae85u + 0x3c6ef372u));
  }
  atomicAdd(&out[params.slot * 2u], a);
  atomicAdd(&out[params.slot * 2u + 1u], b);
}
