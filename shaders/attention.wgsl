//# uses elementary reduce
// Causal grouped-query attention over packed ragged sequences, with or without a cache; twin of core/wasm/attention.ts,
// where formulas, table and order are stated. Nothing of size queries × keys is stored: scores are computed again.
//
// A slot is a query of one head. The slots of a sequence and key/value head are numbered query by query, the heads of the
// group within (f = query · group + head in group), and a workgroup takes 8 of them: two vec4. Keys go by in tiles of 64.
// While scores are made, invocation t is key t of the tile, and lane t of the sums over 64 lanes. While weights meet
// values, invocation t is element t, t + 64, … of the head: CHUNKS of them, each one accumulator, keys ascending.
//
// Constants made from the arguments: CHUNKS = ⌈dim / 64⌉, DIM2 = 128 · CHUNKS, SPLIT (precision 24), REST… sizes of the low
// halves (1 where there are none).

const LOWEST: f32 = -3.4028234e38;
const PAIRS: u32 = 2u * CHUNKS;

/// Where a workgroup's slots are; `queries` = 0: there are none.
struct Block {
  qStart: u32,
  queries: u32,
  at0: u32,
  n0: u32,
  at1: u32,
  keys: u32,
  /// First slot.
  slot: u32,
}

/// The blocks of all sequences are numbered through; a sequence has `per` slots a query (or key).
fn findBlock(number: u32, per: u32) -> Block {
  var left = number;
  for (var s = 0u; s < params.sequences; s++) {
    let queries = table[6u * s + 1u];
    let blocks = (queries * per + 7u) / 8u;
    if (left < blocks) {
      let n0 = table[6u * s + 3u];
      let keys = n0 + table[6u * s + 5u];
      return Block(table[6u * s], queries, table[6u * s + 2u], n0, table[6u * s + 4u], keys, 8u * left);
    }
    left -= blocks;
  }
  return Block(0u, 0u, 0u, 0u, 0u, 0u, 0u);
}

/// Row of key or value j.
fn keyRow(b: Block, j: u32) -> u32 {
  return select(b.at1 + j - b.n0, b.at0 + j, j < b.n0);
}

fn select4(no: vec4<f32>, yes: vec4<f32>, j: u32, seen: vec4<u32>) -> vec4<f32> {
  return select(no, yes, vec4<u32>(j) < seen);
}

fn keep4(x: vec4<f32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) ^ vec4<u32>(zero));
}

fn flush4(x: vec4<f32>) -> vec4<f32> {
  return select(vec4<f32>(0.0), x, abs(x) >= vec4<f32>(TINY));
}

fn exp4(x: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(exp1(x.x), exp1(x.y), exp1(x.z), exp1(x.w));
}

/// Weights of a tile, rounded: [64 keys][2 × 4 slots].
var<workgroup> weights: array<vec4<f32>, 128>;
var<workgroup> weightsRest: array<vec4<f32>, REST_TILE>;

fn putWeights(at: u32, x: vec4<f32>) {
  let high = round12x4(x);
  weights[at] = high;
  if (SPLIT) {
    weightsRest[at] = rest12x4(x, high);
  }
}

//# kernel attention_fwd
/// Queries · scale, rounded: [dim][2 × 4 slots].
var<workgroup> queries: array<vec4<f32>, DIM2>;
var<workgroup> queriesRest: array<vec4<f32>, REST_DIM2>;

/// Row and head of a slot, as an index into stats and out: row · heads + head.
fn rowHead(b: Block, kvHead: u32, group: u32, slot: u32) -> u32 {
  return (b.qStart + slot / group) * params.heads + kvHead * group + slot % group;
}

fn scaledQuery(b: Block, kvHead: u32, group: u32, slot: u32, d: u32) -> f32 {
  if (slot >= b.queries * group) {
    return 0.0;
  }
  return times(flush(q[rowHead(b, kvHead, group, slot) * params.dim + d], TINY), params.scale);
}

/// Scores of key `row` with the 8 slots, d ascending.
fn scores(row: u32, kvHead: u32) -> array<vec4<f32>, 2> {
  var s0 = vec4<f32>(0.0);
  var s1 = vec4<f32>(0.0);
  let at = (row * params.kvHeads + kvHead) * params.dim;
  for (var d = 0u; d < params.dim; d++) {
    let x = k[at + d];
    let high = round12(x);
    s0 += queries[2u * d] * high;
    s1 += queries[2u * d + 1u] * high;
    if (SPLIT) {
      let low = rest12(x, high);
      s0 += queries[2u * d] * low;
      s1 += queries[2u * d + 1u] * low;
      s0 += queriesRest[2u * d] * high;
      s1 += queriesRest[2u * d + 1u] * high;
    }
  }
  return array<vec4<f32>, 2>(s0, s1);
}

/// The halving tree over lanes, for 8 slots at once, in `weights`: greatest or sum. Every invocation gets the result.
fn reduce8(lane: u32, x0: vec4<f32>, x1: vec4<f32>, greatest: bool) -> array<vec4<f32>, 2> {
  weights[2u * lane] = x0;
  weights[2u * lane + 1u] = x1;
  workgroupBarrier();
  for (var half = 64u; half > 1u; half >>= 1u) {
    for (var e = lane; e < half; e += 64u) {
      let a = weights[e];
      let b = weights[e + half];
      weights[e] = select(keep4(a + b), max(a, b), greatest);
    }
    workgroupBarrier();
  }
  let r = array<vec4<f32>, 2>(weights[0], weights[1]);
  workgroupBarrier();
  return r;
}

@compute @workgroup_size(64)
fn attention_fwd(
  @builtin(workgroup_id) place: vec3<u32>,
  @builtin(num_workgroups) places: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let number = groupIndex(place, places);
  let kvHead = number % params.kvHeads;
  let group = params.heads / params.kvHeads;
  let b = findBlock(number / params.kvHeads, group);
  if (b.queries == 0u) {
    return;
  }
  for (var e = lane; e < 2u * params.dim; e += 64u) {
    let slot = b.slot + 4u * (e & 1u);
    let x = vec4<f32>(
      scaledQuery(b, kvHead, group, slot, e >> 1u),
      scaledQuery(b, kvHead, group, slot + 1u, e >> 1u),
      scaledQuery(b, kvHead, group, slot + 2u, e >> 1u),
      scaledQuery(b, kvHead, group, slot + 3u, e >> 1u),
    );
    let high = round12x4(x);
    queries[e] = high;
    if (SPLIT) {
      queriesRest[e] = rest12x4(x, high);
    }
  }
  workgroupBarrier();
  // Keys that each slot sees; slots past the end see what the last one sees, and are not stored.
  let slot4 = min(vec4<u32>(b.slot) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(b.queries * group - 1u));
  let slot8 = min(vec4<u32>(b.slot) + vec4<u32>(4u, 5u, 6u, 7u), vec4<u32>(b.queries * group - 1u));
  let seen0 = vec4<u32>(b.keys - b.queries + 1u) + slot4 / vec4<u32>(group);
  let seen1 = vec4<u32>(b.keys - b.queries + 1u) + slot8 / vec4<u32>(group);
  let seenByLast = seen1.w;

  var m0 = vec4<f32>(LOWEST);
  var m1 = vec4<f32>(LOWEST);
  for (var j = lane; j < seenByLast; j += 64u) {
    let s = scores(keyRow(b, j), kvHead);
    m0 = max(m0, select4(vec4<f32>(LOWEST), s[0], j, seen0));
    m1 = max(m1, select4(vec4<f32>(LOWEST), s[1], j, seen1));
  }
  let m = reduce8(lane, m0, m1, true);
  m0 = m[0];
  m1 = m[1];

  var sum0 = vec4<f32>(0.0);
  var sum1 = vec4<f32>(0.0);
  var acc: array<vec4<f32>, PAIRS>;
  for (var c = 0u; c < PAIRS; c++) {
    acc[c] = vec4<f32>(0.0);
  }
  for (var j0 = 0u; j0 < seenByLast; j0 += 64u) {
    let j = j0 + lane;
    var e0 = vec4<f32>(0.0);
    var e1 = vec4<f32>(0.0);
    if (j < seenByLast) {
      let s = scores(keyRow(b, j), kvHead);
      e0 = select4(vec4<f32>(0.0), exp4(keep4(s[0] - m0)), j, seen0);
      e1 = select4(vec4<f32>(0.0), exp4(keep4(s[1] - m1)), j, seen1);
    }
    sum0 = keep4(sum0 + e0);
    sum1 = keep4(sum1 + e1);
    putWeights(2u * lane, e0);
    putWeights(2u * lane + 1u, e1);
    workgroupBarrier();
    let end = min(64u, seenByLast - j0);
    for (var c = 0u; c < CHUNKS; c++) {
      let d = lane + 64u * c;
      if (d < params.dim) {
        var a0 = acc[2u * c];
        var a1 = acc[2u * c + 1u];
        for (var t = 0u; t < end; t++) {
          let x = v[(keyRow(b, j0 + t) * params.kvHeads + kvHead) * params.dim + d];
          let high = round12(x);
          a0 += weights[2u * t] * high;
          a1 += weights[2u * t + 1u] * high;
          if (SPLIT) {
            let low = rest12(x, high);
            a0 += weights[2u * t] * low;
            a1 += weights[2u * t + 1u] * low;
            a0 += weightsRest[2u * t] * high;
            a1 += weightsRest[2u * t + 1u] * high;
          }
        }
        acc[2u * c] = a0;
        acc[2u * c + 1u] = a1;
      }
    }
    workgroupBarrier();
  }
  let l = reduce8(lane, sum0, sum1, false);

  for (var i = 0u; i < 8u; i++) {
    let slot = b.slot + i;
    if (slot < b.queries * group) {
      let r = rowHead(b, kvHead, group, slot);
      let inverse = rcp1(l[i / 4u][i % 4u]);
      if (lane == 0u) {
        stats[2u * r] = m[i / 4u][i % 4u];
        stats[2u * r + 1u] = inverse;
      }
      for (var c = 0u; c < CHUNKS; c++) {
        let d = lane + 64u * c;
        if (d < params.dim) {
          out[r * params.dim + d] = times(acc[2u * c + i / 4u][i % 4u], inverse);
        }
      }
    }
  }
}

//# kernel attention_bwd
// Three passes: attention_rows gathers m, r and D of each row and head; attention_dq has slots of queries, as forward;
// attention_dkv has slots of keys, and queries go by in tiles of 64, heads of the group ascending.

/// Left or right operands of the scores, rounded: [dim][2 × 4 slots].
var<workgroup> slotsA: array<vec4<f32>, DIM2>;
var<workgroup> slotsARest: array<vec4<f32>, REST_DIM2>;
var<workgroup> slotsB: array<vec4<f32>, DIM2>;
var<workgroup> slotsBRest: array<vec4<f32>, REST_DIM2>;
/// dS of a tile, rounded: [64][2 × 4 slots].
var<workgroup> slopes: array<vec4<f32>, 128>;
var<workgroup> slopesRest: array<vec4<f32>, REST_TILE>;

fn putSlopes(at: u32, x: vec4<f32>) {
  let high = round12x4(x);
  slopes[at] = high;
  if (SPLIT) {
    slopesRest[at] = rest12x4(x, high);
  }
}

/// rows[row · heads + head] = m, r, D = Σ64 dO·O: a workgroup a row and head.
@compute @workgroup_size(64)
fn attention_rows(
  @builtin(workgroup_id) place: vec3<u32>,
  @builtin(num_workgroups) places: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let r = groupIndex(place, places);
  let at = r * params.dim;
  if (at >= arrayLength(&dout)) {
    return;
  }
  var sum = 0.0;
  for (var d = lane; d < params.dim; d += 64u) {
    sum = plus(sum, times(flush(dout[at + d], TINY), flush(out[at + d], TINY)));
  }
  let dot = lanesTree(lane, sum);
  if (lane == 0u) {
    rows[3u * r] = stats[2u * r];
    rows[3u * r + 1u] = stats[2u * r + 1u];
    rows[3u * r + 2u] = dot;
  }
}

/// p = (e · r) and dS = p · (dP − D) of 4 slots, from scores and dP.
struct Slopes {
  p: vec4<f32>,
  ds: vec4<f32>,
}

fn weightsAndSlopes(s: vec4<f32>, dp: vec4<f32>, m: vec4<f32>, inverse: vec4<f32>, dot: vec4<f32>) -> Slopes {
  let w = keep4(flush4(exp4(keep4(s - m))) * inverse);
  let slope = flush4(keep4(dp - dot));
  return Slopes(w, keep4(flush4(w) * slope));
}

fn rowHead(b: Block, kvHead: u32, group: u32, slot: u32) -> u32 {
  return (b.qStart + slot / group) * params.heads + kvHead * group + slot % group;
}

fn scaledQuery(at: u32) -> f32 {
  return times(flush(q[at], TINY), params.scale);
}

fn flushedOut(at: u32) -> f32 {
  return times(flush(dout[at], TINY), 1.0);
}

/// A statistic of 4 slots of queries.
fn rows4(b: Block, kvHead: u32, group: u32, slot: vec4<u32>, which: u32) -> vec4<f32> {
  return vec4<f32>(
    rows[3u * rowHead(b, kvHead, group, slot.x) + which],
    rows[3u * rowHead(b, kvHead, group, slot.y) + which],
    rows[3u * rowHead(b, kvHead, group, slot.z) + which],
    rows[3u * rowHead(b, kvHead, group, slot.w) + which],
  );
}

/// dQ_i = scale · Σ_j dS_ij k_j, j ascending.
@compute @workgroup_size(64)
fn attention_dq(
  @builtin(workgroup_id) place: vec3<u32>,
  @builtin(num_workgroups) places: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let number = groupIndex(place, places);
  let kvHead = number % params.kvHeads;
  let group = params.heads / params.kvHeads;
  let b = findBlock(number / params.kvHeads, group);
  if (b.queries == 0u) {
    return;
  }
  let slot4 = min(vec4<u32>(b.slot) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(b.queries * group - 1u));
  let slot8 = min(vec4<u32>(b.slot) + vec4<u32>(4u, 5u, 6u, 7u), vec4<u32>(b.queries * group - 1u));
  for (var e = lane; e < 2u * params.dim; e += 64u) {
    let slot = select(slot4, slot8, (e & 1u) == 1u);
    let d = e >> 1u;
    let r0 = rowHead(b, kvHead, group, slot.x) * params.dim + d;
    let r1 = rowHead(b, kvHead, group, slot.y) * params.dim + d;
    let r2 = rowHead(b, kvHead, group, slot.z) * params.dim + d;
    let r3 = rowHead(b, kvHead, group, slot.w) * params.dim + d;
    let x = vec4<f32>(scaledQuery(r0), scaledQuery(r1), scaledQuery(r2), scaledQuery(r3));
    slotsA[e] = round12x4(x);
    let y = vec4<f32>(flushedOut(r0), flushedOut(r1), flushedOut(r2), flushedOut(r3));
    slotsB[e] = round12x4(y);
    if (SPLIT) {
      slotsARest[e] = rest12x4(x, round12x4(x));
      slotsBRest[e] = rest12x4(y, round12x4(y));
    }
  }
  workgroupBarrier();
  let seen0 = vec4<u32>(1u) + slot4 / vec4<u32>(group);
  let seen1 = vec4<u32>(1u) + slot8 / vec4<u32>(group);
  let seenByLast = seen1.w;
  let m0 = rows4(b, kvHead, group, slot4, 0u);
  let m1 = rows4(b, kvHead, group, slot8, 0u);
  let inverse0 = rows4(b, kvHead, group, slot4, 1u);
  let inverse1 = rows4(b, kvHead, group, slot8, 1u);
  let dot0 = rows4(b, kvHead, group, slot4, 2u);
  let dot1 = rows4(b, kvHead, group, slot8, 2u);

  var acc: array<vec4<f32>, PAIRS>;
  for (var c = 0u; c < PAIRS; c++) {
    acc[c] = vec4<f32>(0.0);
  }
  for (var j0 = 0u; j0 < seenByLast; j0 += 64u) {
    let j = j0 + lane;
    var ds0 = vec4<f32>(0.0);
    var ds1 = vec4<f32>(0.0);
    if (j < seenByLast) {
      let at = ((b.at1 + j) * params.kvHeads + kvHead) * params.dim;
      var s0 = vec4<f32>(0.0);
      var s1 = vec4<f32>(0.0);
      var dp0 = vec4<f32>(0.0);
      var dp1 = vec4<f32>(0.0);
      for (var d = 0u; d < params.dim; d++) {
        let kd = k[at + d];
        let vd = v[at + d];
        let kHigh = round12(kd);
        let vHigh = round12(vd);
        s0 += slotsA[2u * d] * kHigh;
        s1 += slotsA[2u * d + 1u] * kHigh;
        dp0 += slotsB[2u * d] * vHigh;
        dp1 += slotsB[2u * d + 1u] * vHigh;
        if (SPLIT) {
          let kLow = rest12(kd, kHigh);
          let vLow = rest12(vd, vHigh);
          s0 += slotsA[2u * d] * kLow;
          s1 += slotsA[2u * d + 1u] * kLow;
          s0 += slotsARest[2u * d] * kHigh;
          s1 += slotsARest[2u * d + 1u] * kHigh;
          dp0 += slotsB[2u * d] * vLow;
          dp1 += slotsB[2u * d + 1u] * vLow;
          dp0 += slotsBRest[2u * d] * vHigh;
          dp1 += slotsBRest[2u * d + 1u] * vHigh;
        }
      }
      ds0 = select4(vec4<f32>(0.0), weightsAndSlopes(s0, dp0, m0, inverse0, dot0).ds, j, seen0);
      ds1 = select4(vec4<f32>(0.0), weightsAndSlopes(s1, dp1, m1, inverse1, dot1).ds, j, seen1);
    }
    putSlopes(2u * lane, ds0);
    putSlopes(2u * lane + 1u, ds1);
    workgroupBarrier();
    let end = min(64u, seenByLast - j0);
    for (var c = 0u; c < CHUNKS; c++) {
      let d = lane + 64u * c;
      if (d < params.dim) {
        var a0 = acc[2u * c];
        var a1 = acc[2u * c + 1u];
        for (var t = 0u; t < end; t++) {
          let x = k[((b.at1 + j0 + t) * params.kvHeads + kvHead) * params.dim + d];
          let high = round12(x);
          a0 += slopes[2u * t] * high;
          a1 += slopes[2u * t + 1u] * high;
          if (SPLIT) {
            let low = rest12(x, high);
            a0 += slopes[2u * t] * low;
            a1 += slopes[2u * t + 1u] * low;
            a0 += slopesRest[2u * t] * high;
            a1 += slopesRest[2u * t + 1u] * high;
          }
        }
        acc[2u * c] = a0;
        acc[2u * c + 1u] = a1;
      }
    }
    workgroupBarrier();
  }
  for (var i = 0u; i < 8u; i++) {
    let slot = b.slot + i;
    if (slot < b.queries * group) {
      let r = rowHead(b, kvHead, group, slot);
      for (var c = 0u; c < CHUNKS; c++) {
        let d = lane + 64u * c;
        if (d < params.dim) {
          dq[r * params.dim + d] = times(acc[2u * c + i / 4u][i % 4u], params.scale);
        }
      }
    }
  }
}

/// dK_j = Σ dS_ij (q_i·scale), dV_j = Σ p_ij dO_i: heads of the group ascending, then i ascending, one accumulator.
@compute @workgroup_size(64)
fn attention_dkv(
  @builtin(workgroup_id) place: vec3<u32>,
  @builtin(num_workgroups) places: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let number = groupIndex(place, places);
  let kvHead = number % params.kvHeads;
  let group = params.heads / params.kvHeads;
  let b = findBlock(number / params.kvHeads, 1u);
  if (b.queries == 0u) {
    return;
  }
  let length = b.queries;
  let key4 = vec4<u32>(b.slot) + vec4<u32>(0u, 1u, 2u, 3u);
  let key8 = vec4<u32>(b.slot) + vec4<u32>(4u, 5u, 6u, 7u);
  for (var e = lane; e < 2u * params.dim; e += 64u) {
    let key = min(select(key4, key8, (e & 1u) == 1u), vec4<u32>(length - 1u));
    let d = e >> 1u;
    let at = ((vec4<u32>(b.at1) + key) * params.kvHeads + vec4<u32>(kvHead)) * params.dim + vec4<u32>(d);
    let x = vec4<f32>(k[at.x], k[at.y], k[at.z], k[at.w]);
    slotsA[e] = round12x4(x);
    let y = vec4<f32>(v[at.x], v[at.y], v[at.z], v[at.w]);
    slotsB[e] = round12x4(y);
    if (SPLIT) {
      slotsARest[e] = rest12x4(x, round12x4(x));
      slotsBRest[e] = rest12x4(y, round12x4(y));
    }
  }
  workgroupBarrier();
  var accK: array<vec4<f32>, PAIRS>;
  var accV: array<vec4<f32>, PAIRS>;
  for (var c = 0u; c < PAIRS; c++) {
    accK[c] = vec4<f32>(0.0);
    accV[c] = vec4<f32>(0.0);
  }
  for (var g = 0u; g < group; g++) {
    let head = kvHead * group + g;
    // Queries before the first key of the block see none of its keys.
    for (var i0 = b.slot; i0 < length; i0 += 64u) {
      let i = i0 + lane;
      var w0 = Slopes(vec4<f32>(0.0), vec4<f32>(0.0));
      var w1 = w0;
      if (i < length) {
        let r = (b.qStart + i) * params.heads + head;
        let at = r * params.dim;
        var s0 = vec4<f32>(0.0);
        var s1 = vec4<f32>(0.0);
        var dp0 = vec4<f32>(0.0);
        var dp1 = vec4<f32>(0.0);
        for (var d = 0u; d < params.dim; d++) {
          let qd = scaledQuery(at + d);
          let od = flushedOut(at + d);
          let qHigh = round12(qd);
          let oHigh = round12(od);
          s0 += qHigh * slotsA[2u * d];
          s1 += qHigh * slotsA[2u * d + 1u];
          dp0 += oHigh * slotsB[2u * d];
          dp1 += oHigh * slotsB[2u * d + 1u];
          if (SPLIT) {
            s0 += qHigh * slotsARest[2u * d];
            s1 += qHigh * slotsARest[2u * d + 1u];
            dp0 += oHigh * slotsBRest[2u * d];
            dp1 += oHigh * slotsBRest[2u * d + 1u];
            let qLow = rest12(qd, qHigh);
            let oLow = rest12(od, oHigh);
            s0 += qLow * slotsA[2u * d];
            s1 += qLow * slotsA[2u * d + 1u];
            dp0 += oLow * slotsB[2u * d];
            dp1 += oLow * slotsB[2u * d + 1u];
          }
        }
        let m = vec4<f32>(rows[3u * r]);
        let inverse = vec4<f32>(rows[3u * r + 1u]);
        let dot = vec4<f32>(rows[3u * r + 2u]);
        let none = vec4<f32>(0.0);
        let seen = vec4<u32>(i + 1u);
        w0 = weightsAndSlopes(s0, dp0, m, inverse, dot);
        w1 = weightsAndSlopes(s1, dp1, m, inverse, dot);
        w0 = Slopes(select(none, w0.p, key4 < seen), select(none, w0.ds, key4 < seen));
        w1 = Slopes(select(none, w1.p, key8 < seen), select(none, w1.ds, key8 < seen));
      }
      putWeights(2u * lane, w0.p);
      putWeights(2u * lane + 1u, w1.p);
      putSlopes(2u * lane, w0.ds);
      putSlopes(2u * lane + 1u, w1.ds);
      workgroupBarrier();
      let end = min(64u, length - i0);
      for (var c = 0u; c < CHUNKS; c++) {
        let d = lane + 64u * c;
        if (d < params.dim) {
          var k0 = accK[2u * c];
          var k1 = accK[2u * c + 1u];
          var v0 = accV[2u * c];
          var v1 = accV[2u * c + 1u];
          for (var t = 0u; t < end; t++) {
            let at = ((b.qStart + i0 + t) * params.heads + head) * params.dim + d;
            let x = scaledQuery(at);
            let y = flushedOut(at);
            let xHigh = round12(x);
            let yHigh = round12(y);
            k0 += slopes[2u * t] * xHigh;
            k1 += slopes[2u * t + 1u] * xHigh;
            v0 += weights[2u * t] * yHigh;
            v1 += weights[2u * t + 1u] * yHigh;
            if (SPLIT) {
              let xLow = rest12(x, xHigh);
              let yLow = rest12(y, yHigh);
              k0 += slopes[2u * t] * xLow;
              k1 += slopes[2u * t + 1u] * xLow;
              k0 += slopesRest[2u * t] * xHigh;
              k1 += slopesRest[2u * t + 1u] * xHigh;
              v0 += weights[2u * t] * yLow;
              v1 += weights[2u * t + 1u] * yLow;
              v0 += weightsRest[2u * t] * yHigh;
              v1 += weightsRest[2u * t + 1u] * yHigh;
            }
          }
          accK[2u * c] = k0;
          accK[2u * c + 1u] = k1;
          accV[2u * c] = v0;
          accV[2u * c + 1u] = v1;
        }
      }
      workgroupBarrier();
    }
  }
  for (var i = 0u; i < 8u; i++) {
    let j = b.slot + i;
    if (j < length) {
      for (var c = 0u; c < CHUNKS; c++) {
        let d = lane + 64u * c;
        if (d < params.dim) {
          let at = ((b.at1 + j) * params.kvHeads + kvHead) * params.dim + d;
          dk[at] = accK[2u * c + i / 4u][i % 4u];
          dv[at] = accV[2u * c + i / 4u][i % 4u];
        }
      }
    }
  }
}
