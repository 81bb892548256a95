//# uses simd
// Sums and greatest values over a workgroup of 64 with subgroup operations, where the adapter has them: each subgroup
// reduces in registers, the few partial results meet in workgroup memory. The order depends on the subgroup size.

var<workgroup> lanes: array<f32, 64>;

/// The sum of the lanes' values; every invocation gets it.
fn lanesTree(lane: u32, sum: f32) -> f32 {
  let width = subgroupAdd(1u);
  lanes[lane] = subgroupAdd(sum);
  workgroupBarrier();
  var total = 0.0;
  for (var l = 0u; l < 64u; l += width) {
    total += lanes[l];
  }
  workgroupBarrier();
  return total;
}

/// Greatest of the lanes' values.
fn lanesMax(lane: u32, x: f32) -> f32 {
  let width = subgroupAdd(1u);
  lanes[lane] = subgroupMax(x);
  workgroupBarrier();
  var greatest = lanes[0];
  for (var l = width; l < 64u; l += width) {
    greatest = max(greatest, lanes[l]);
  }
  workgroupBarrier();
  return greatest;
}
