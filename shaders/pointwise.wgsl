//# uses elementary
// Elementwise kernels and row movers, one invocation an element. None of them reduces in parallel, so order is no
// question. Twin of core/wasm/pointwise.ts.

//# kernel fill
@compute @workgroup_size(64)
fn fill(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let i = groupIndex(group, groups) * 64u + lane;
  if (i >= params.n) {
    return;
  }
  out[i] = params.value;
}

//# kernel copy
@compute @workgroup_size(64)
fn copy(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let i = groupIndex(group, groups) * 64u + lane;
  if (i >= params.n) {
    return;
  }
  out[i] = x[i];
}

//# kernel add
/// out += x
@compute @workgroup_size(64)
fn add(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let i = groupIndex(group, groups) * 64u + lane;
  if (i >= params.n) {
    return;
  }
  out[i] = plus(out[i], x[i]);
}

//# kernel scale
/// x *= s
@compute @workgroup_size(64)
fn scale(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let i = groupIndex(group, groups) * 64u + lane;
  if (i >= params.n) {
    return;
  }
  x[i] = times(flush(x[i], TINY), params.s);
}

//# kernel swiglu_fwd
/// out = (g · σ(g)) · u; factors below 2^-50 count as 0.
@compute @workgroup_size(64)
fn swiglu_fwd(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let i = groupIndex(group, groups) * 64u + lane;
  if (i >= params.n) {
    return;
  }
  let g = flush(gate[i], TINY);
  let u = flush(up[i], TINY);
  let silu = flush(times(g, sigmoid1(g)), TINY);
  out[i] = times(silu, u);
}

//# kernel swiglu_bwd
/// du = dh · silu(g); dg = (dh · u) · (σ + silu · (1 − σ)).
@compute @workgroup_size(64)
fn swiglu_bwd(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let i = groupIndex(group, groups) * 64u + lane;
  if (i >= params.n) {
    return;
  }
  let d = flush(dh[i], TINY);
  let g = flush(gate[i], TINY);
  let u = flush(up[i], TINY);
  let s = flush(sigmoid1(g), TINY);
  let silu = flush(times(g, s), TINY);
  let slope = flush(plus(s, times(silu, minus(1.0, s))), TINY);
  dup[i] = times(d, silu);
  dgate[i] = times(flush(times(d, u), TINY), slope);
}

//# kernel rope
/// Pairs (d, d + dim/2) of x[rows, heads, dim]: (a, b) → (a·c − b·s, b·c + a·s); `inverse` turns back (the adjoint).
@compute @workgroup_size(64)
fn rope(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let i = groupIndex(group, groups) * 64u + lane;
  if (i >= params.rows * params.heads * (params.dim >> 1u)) {
    return;
  }
  let half = params.dim >> 1u;
  let d = i % half;
  let head = i / half;
  let at = positions[head / params.heads] * half + d;
  let lo = head * params.dim + d;
  let hi = lo + half;
  let a = flush(x[lo], TINY);
  let b = flush(x[hi], TINY);
  let c = cos[at];
  let s = select(sin[at], -sin[at], params.inverse != 0u);
  x[lo] = minus(times(a, c), times(b, s));
  x[hi] = plus(times(b, c), times(a, s));
}

//# kernel gather_rows
/// out[r] = x[index[offset + r]] for rows of `width`.
@compute @workgroup_size(64)
fn gather_rows(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let i = groupIndex(group, groups) * 64u + lane;
  if (i >= params.rows * params.width) {
    return;
  }
  let row = index[params.offset + i / params.width] - params.first;
  if (row >= arrayLength(&x) / params.width) {
    return;
  }
  out[i] = x[row * params.width + i % params.width];
}

//# kernel scatter_rows
/// out[index[offset + r]] = x[r]; indices are distinct.
@compute @workgroup_size(64)
fn scatter_rows(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let i = groupIndex(group, groups) * 64u + lane;
  if (i >= params.rows * params.width) {
    return;
  }
  let row = index[params.offset + i / params.width] - params.first;
  if (row >= arrayLength(&out) / params.width) {
    return;
  }
  out[row * params.width + i % params.width] = x[i];
}

//# kernel scatter_add_rows
/// out[index[r]] += x[r]; indices are distinct.
@compute @workgroup_size(64)
fn scatter_add_rows(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let i = groupIndex(group, groups) * 64u + lane;
  if (i >= params.rows * params.width) {
    return;
  }
  let row = index[i / params.width] - params.first;
  if (row >= arrayLength(&out) / params.width) {
    return;
  }
  let o = row * params.width + i % params.width;
  out[o] = plus(out[o], x[i]);
}

//# kernel embed_bwd
/// dst[slots[u]] += Σ dx[order[e]] for e from starts[u] to starts[u+1], ascending: each distinct token of the micro-batch.
@compute @workgroup_size(64)
fn embed_bwd(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let i = groupIndex(group, groups) * 64u + lane;
  if (i >= params.unique * params.width) {
    return;
  }
  let u = i / params.width;
  let j = i % params.width;
  let row = slots[u] - params.first;
  if (row >= arrayLength(&dst) / params.width) {
    return;
  }
  let o = row * params.width + j;
  var acc = dst[o];
  for (var e = starts[u]; e < starts[u + 1u]; e++) {
    acc = plus(acc, dx[order[e] * params.width + j]);
  }
  dst[o] = acc;
}
