//# uses simd
// C[m, n] = init + A[m, k] · B[k, n] on adapters without a GPU behind them: strides, modes, order and precisions of
// shaders/matmul.wgsl, and so its bits, by another way. A software driver runs four invocations as lanes of SIMD, gathers
// every read of memory lane by lane at the price of a dozen multiply-adds, and switches stacks at a barrier. So nothing is
// staged: an invocation reads from A and B, rounds, and keeps as many sums as pay for the reads: 16 columns of 4, 8 or 16
// rows (ROWS = groups of four rows). Two of k are unrolled because a loop copies every sum once a round.

//# kernel matmul
/// Sums of 4 rows (columns of the matrix type) × 4 columns.
alias Block = mat4x4<f32>;

/// 4 rows × 16 columns.
struct Strip {
  b0: Block,
  b1: Block,
  b2: Block,
  b3: Block,
}

struct Tile {
  s0: Strip,
  s1: Strip,
  s2: Strip,
  s3: Strip,
}

/// Values of 16 columns.
struct Row {
  y0: vec4<f32>,
  y1: vec4<f32>,
  y2: vec4<f32>,
  y3: vec4<f32>,
}

/// Where 16 rows of A or columns of B begin.
struct Places {
  p0: vec4<u32>,
  p1: vec4<u32>,
  p2: vec4<u32>,
  p3: vec4<u32>,
}

fn outer(acc: Block, x: vec4<f32>, y: vec4<f32>) -> Block {
  return Block(acc[0] + x.x * y, acc[1] + x.y * y, acc[2] + x.z * y, acc[3] + x.w * y);
}

/// acc + x yᵀ
fn strip(acc: Strip, x: vec4<f32>, y: Row) -> Strip {
  return Strip(outer(acc.b0, x, y.y0), outer(acc.b1, x, y.y1), outer(acc.b2, x, y.y2), outer(acc.b3, x, y.y3));
}

fn readA(p: vec4<u32>, kk: u32) -> vec4<f32> {
  let at = p + vec4<u32>(kk * params.aK);
  return vec4<f32>(a[at.x], a[at.y], a[at.z], a[at.w]);
}

fn readB(p: vec4<u32>, kk: u32) -> vec4<f32> {
  let at = p + vec4<u32>(kk * params.bK);
  return vec4<f32>(b[at.x], b[at.y], b[at.z], b[at.w]);
}

fn roundRow(v: Row) -> Row {
  return Row(round12x4(v.y0), round12x4(v.y1), round12x4(v.y2), round12x4(v.y3));
}

fn restRow(v: Row, high: Row) -> Row {
  return Row(
    rest12x4(v.y0, high.y0),
    rest12x4(v.y1, high.y1),
    rest12x4(v.y2, high.y2),
    rest12x4(v.y3, high.y3),
  );
}

/// One k of one strip: hi·hi, and with precision 24 hi·lo and lo·hi.
fn stepStrip(acc: Strip, p: vec4<u32>, kk: u32, high: Row, rest: Row) -> Strip {
  let v = readA(p, kk);
  let x = round12x4(v);
  var next = strip(acc, x, high);
  if (SPLIT) {
    next = strip(next, x, rest);
    next = strip(next, rest12x4(v, x), high);
  }
  return next;
}

fn step(acc: Tile, rows: Places, cols: Places, kk: u32) -> Tile {
  let v = Row(readB(cols.p0, kk), readB(cols.p1, kk), readB(cols.p2, kk), readB(cols.p3, kk));
  let high = roundRow(v);
  var rest = high;
  if (SPLIT) {
    rest = restRow(v, high);
  }
  var next = acc;
  next.s0 = stepStrip(acc.s0, rows.p0, kk, high, rest);
  if (ROWS > 1u) {
    next.s1 = stepStrip(acc.s1, rows.p1, kk, high, rest);
  }
  if (ROWS > 2u) {
    next.s2 = stepStrip(acc.s2, rows.p2, kk, high, rest);
    next.s3 = stepStrip(acc.s3, rows.p3, kk, high, rest);
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

fn loadBlock(i: u32, j: u32) -> Block {
  var start: Block;
  for (var e = 0u; e < 16u; e++) {
    start[e / 4u][e % 4u] = initial(i + e / 4u, j + e % 4u);
  }
  return start;
}

fn loadStrip(i: u32, j: u32) -> Strip {
  return Strip(loadBlock(i, j), loadBlock(i, j + 4u), loadBlock(i, j + 8u), loadBlock(i, j + 12u));
}

fn storeBlock(i: u32, j: u32, acc: Block) {
  var end = acc;
  for (var e = 0u; e < 16u; e++) {
    if (i + e / 4u < params.m && j + e % 4u < params.n) {
      c[(i + e / 4u) * params.ldc + j + e % 4u] = end[e / 4u][e % 4u];
    }
  }
}

fn storeStrip(i: u32, j: u32, acc: Strip) {
  storeBlock(i, j, acc.b0);
  storeBlock(i, j + 4u, acc.b1);
  storeBlock(i, j + 8u, acc.b2);
  storeBlock(i, j + 12u, acc.b3);
}

/// Starts of 16 rows or columns from `first` on; past the end the last one, whose sums are not stored.
fn places(first: u32, count: u32, stride: u32) -> Places {
  let last = vec4<u32>(count - 1u);
  let four = vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u);
  return Places(
    min(four, last) * stride,
    min(four + vec4<u32>(4u), last) * stride,
    min(four + vec4<u32>(8u), last) * stride,
    min(four + vec4<u32>(12u), last) * stride,
  );
}

@compute @workgroup_size(16)
fn matmul(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let tile = groupIndex(group, groups);
  let columns = (params.n + 63u) / 64u;
  let i = ((tile / columns) * 4u + lane / 4u) * 4u * ROWS;
  let j = ((tile % columns) * 4u + lane % 4u) * 16u;
  if (i >= params.m || j >= params.n) {
    return;
  }
  var acc: Tile;
  if (params.mode != 0u) {
    acc.s0 = loadStrip(i, j);
    if (ROWS > 1u) {
      acc.s1 = loadStrip(i + 4u, j);
    }
    if (ROWS > 2u) {
      acc.s2 = loadStrip(i + 8u, j);
      acc.s3 = loadStrip(i + 12u, j);
    }
  }
  let rows = places(i, params.m, params.aRow);
  let cols = places(j, params.n, params.bCol);
  var kk = 0u;
  while (kk + 2u <= params.k) {
    acc = step(acc, rows, cols, kk);
    acc = step(acc, rows, cols, kk + 1u);
    kk += 2u;
  }
  while (kk < params.k) {
    acc = step(acc, rows, cols, kk);
    kk += 1u;
  }
  storeStrip(i, j, acc.s0);
  if (ROWS > 1u) {
    storeStrip(i + 4u, j, acc.s1);
  }
  if (ROWS > 2u) {
    storeStrip(i + 8u, j, acc.s2);
    storeStrip(i + 12u, j, acc.s3);
  }
}
