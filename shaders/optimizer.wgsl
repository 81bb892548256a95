//# uses elementary
// AdamW with the global-norm factor folded in; twin of core/wasm/optimizer.ts.
//   g ← grad · gradScale;  m ← β1 m + (1 − β1) g;  v ← β2 v + (1 − β2) g²
//   p ← p · decay − lr · ((m · c1) / (√(v · c2) + ε))
// Gradients below 2^-50 and moments below 2^-100 count as 0, so that nothing is ever subnormal.

//# kernel adamw
@compute @workgroup_size(64)
fn adamw(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let i = groupIndex(group, groups) * 64u + lane;
  if (i >= params.n) {
    return;
  }
  let grad = flush(times(flush(g[i], TINY), params.gradScale), TINY);
  let mm = flush(plus(times(m[i], params.beta1), times(grad, params.rest1)), TINY_MOMENT);
  let square = times(times(grad, grad), params.rest2);
  let vv = flush(plus(times(v[i], params.beta2), square), TINY_MOMENT);
  m[i] = mm;
  v[i] = vv;
  let root = plus(sqrt1(times(vv, params.c2)), params.eps);
  let update = flush(times(times(mm, params.c1), rcp1(root)), TINY);
  p[i] = minus(times(p[i], params.decay), times(update, params.lr));
}
