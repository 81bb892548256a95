//# uses elementary reduce
// RMSNorm, forward and backward, over rows of n: one workgroup a row, Σ over 64 lanes. Twin of core/wasm/norm.ts.
// y = (x · rstd) · w, rstd = rsqrt(Σx²/n + eps). dw accumulates over rows ascending; dx adds to what it holds when
// `accumulate` is set and overwrites otherwise. Factors below 2^-50 count as 0 (no subnormal product).

//# kernel rmsnorm_fwd
@compute @workgroup_size(64)
fn rmsnorm_fwd(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let r = groupIndex(group, groups);
  if (r >= params.rows) {
    return;
  }
  let base = r * params.n;
  var sum = 0.0;
  for (var i = lane; i < params.n; i += 64u) {
    let v = flush(x[base + i], TINY);
    sum = plus(sum, times(v, v));
  }
  let s = rsqrt1(plus(times(lanesTree(lane, sum), params.invN), params.eps));
  if (lane == 0u) {
    rstd[r] = s;
  }
  for (var i = lane; i < params.n; i += 64u) {
    y[base + i] = times(times(flush(x[base + i], TINY), s), w[i]);
  }
}

//# kernel rmsnorm_bwd
/// g = dy·w
fn g_at(at: u32, i: u32) -> f32 {
  return flush(times(flush(dy[at], TINY), w[i]), TINY);
}

/// x̂ = x·rstd
fn xh_at(at: u32, s: f32) -> f32 {
  return flush(times(flush(x[at], TINY), s), TINY);
}

/// dx = rstd · (g − x̂ · mean(g·x̂))
@compute @workgroup_size(64)
fn rmsnorm_bwd(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let r = groupIndex(group, groups);
  if (r >= params.rows) {
    return;
  }
  let base = r * params.n;
  let s = rstd[r];
  var sum = 0.0;
  for (var i = lane; i < params.n; i += 64u) {
    sum = plus(sum, times(g_at(base + i, i), xh_at(base + i, s)));
  }
  let mean = flush(times(lanesTree(lane, sum), params.invN), TINY);
  for (var i = lane; i < params.n; i += 64u) {
    let g = g_at(base + i, i);
    var d = times(flush(minus(g, times(xh_at(base + i, s), mean)), TINY), s);
    if (params.accumulate != 0u) {
      d = plus(dx[base + i], d);
    }
    dx[base + i] = d;
  }
}

//# kernel rmsnorm_dw
/// dw[j] += Σ_r dy[r, j] · (x[r, j] · rstd[r]), r ascending, from what dw holds.
@compute @workgroup_size(64)
fn rmsnorm_dw(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let j = groupIndex(group, groups) * 64u + lane;
  if (j >= params.n) {
    return;
  }
  var acc = dw[j];
  for (var r = 0u; r < params.rows; r++) {
    let at = r * params.n + j;
    let xh = flush(times(flush(x[at], TINY), rstd[r]), TINY);
    acc = plus(acc, times(flush(dy[at], TINY), xh));
  }
  dw[j] = acc;
}
