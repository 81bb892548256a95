//# uses elementary reduce
// The vocabulary kernels, a workgroup a row of logits: log-probability of a given token and entropy, back from dlogp and
// dentropy to dlogits, and sampling. Twin of core/wasm/vocabulary.ts, where the formulas are. Sums over 64 lanes.
// Statistics kept for backward, four words a row: m = max z, 1/l, L = log l, H.

struct Statistics {
  m: f32,
  inverse: f32,
  logl: f32,
  h: f32,
}

/// z ← z · invT (rows are padded to a multiple of 4, and so is what is scaled), then the four statistics of the row.
fn statistics(lane: u32, row: u32) -> Statistics {
  let n = params.vocab;
  var m = -3.4028234e38;
  for (var i = lane; i < ((n + 3u) & 0xfffffffcu); i += 64u) {
    let scaled = times(flush(z[row + i], TINY), params.invT);
    z[row + i] = scaled;
    if (i < n) {
      m = max(m, scaled);
    }
  }
  m = lanesMax(lane, m);
  var sum = 0.0;
  var weighted = 0.0;
  for (var i = lane; i < n; i += 64u) {
    let d = minus(z[row + i], m);
    let e = flush(exp1(d), TINY);
    sum = plus(sum, e);
    weighted = plus(weighted, times(e, flush(d, TINY)));
  }
  let l = lanesTree(lane, sum);
  let w = lanesTree(lane, weighted);
  let inverse = rcp1(l);
  let logl = log1(l);
  storageBarrier();
  return Statistics(m, inverse, logl, minus(logl, times(w, inverse)));
}

//# kernel logprob_fwd
@compute @workgroup_size(64)
fn logprob_fwd(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let r = groupIndex(group, groups);
  if (r >= params.rows) {
    return;
  }
  let row = r * params.ld;
  let at = params.offset + r;
  let s = statistics(lane, row);
  if (lane == 0u) {
    stats[at * 4u] = s.m;
    stats[at * 4u + 1u] = s.inverse;
    stats[at * 4u + 2u] = s.logl;
    stats[at * 4u + 3u] = s.h;
    logp[at] = minus(minus(z[row + targets[at]], s.m), s.logl);
    entropy[at] = s.h;
  }
}

//# kernel logprob_bwd
/// z (as logprob_fwd left it, already · invT) → dlogits in place; an invocation an element, columns past the vocabulary 0.
@compute @workgroup_size(64)
fn logprob_bwd(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let element = groupIndex(group, groups) * 64u + lane;
  if (element >= params.rows * params.ld) {
    return;
  }
  let i = element % params.ld;
  if (i >= params.vocab) {
    z[element] = 0.0;
    return;
  }
  let at = params.offset + element / params.ld;
  let m = stats[at * 4u];
  let inverse = stats[at * 4u + 1u];
  let logl = stats[at * 4u + 2u];
  let h = stats[at * 4u + 3u];
  let gp = flush(dlogp[at], TINY);
  let gh = flush(dentropy[at], TINY);
  let d = minus(z[element], m);
  let p = times(flush(exp1(d), TINY), inverse);
  let slope = plus(gp, flush(times(gh, plus(minus(d, logl), h)), TINY));
  var dz = times(flush(-times(flush(p, TINY), flush(slope, TINY)), TINY), params.invT);
  if (i == targets[at]) {
    dz = plus(dz, times(gp, params.invT));
  }
  z[element] = dz;
}

//# kernel sample
/// exp(z − m) of element i of the row, 0 below `least` and past n.
fn weight(row: u32, i: u32, m: f32, least: f32) -> f32 {
  if (i >= params.vocab) {
    return 0.0;
  }
  let e = flush(exp1(minus(z[row + i], m)), TINY);
  return select(0.0, e, e >= least);
}

/// Σ64 of the weights ≥ least.
fn massAbove(lane: u32, row: u32, m: f32, least: f32) -> f32 {
  var sum = 0.0;
  for (var i = lane; i < params.vocab; i += 64u) {
    sum = plus(sum, weight(row, i, m, least));
  }
  return lanesTree(lane, sum);
}

/// How many weights are ≥ least (an exact sum: counts stay below 2^24).
fn countAbove(lane: u32, row: u32, m: f32, least: f32) -> u32 {
  var count = 0.0;
  for (var i = lane; i < params.vocab; i += 64u) {
    count += select(0.0, 1.0, weight(row, i, m, least) >= least);
  }
  return u32(lanesTree(lane, count));
}

/// Sum of the 64 weights of block b by the halving tree, all in one invocation.
fn blockMass(row: u32, b: u32, m: f32, least: f32) -> f32 {
  var sums: array<f32, 32>;
  for (var i = 0u; i < 32u; i++) {
    let at = b * 64u + i;
    sums[i] = plus(weight(row, at, m, least), weight(row, at + 32u, m, least));
  }
  for (var half = 16u; half > 0u; half >>= 1u) {
    for (var i = 0u; i < half; i++) {
      sums[i] = plus(sums[i], sums[i + half]);
    }
  }
  return sums[0];
}

/// Masses of the 64 blocks that are being looked at.
var<workgroup> masses: array<f32, 64>;
/// Of the running sum over blocks: whether it has passed the target, the block, the sum before it.
var<workgroup> passed: u32;
var<workgroup> chosen: u32;
var<workgroup> before: f32;
var<workgroup> running: f32;

fn inverseCdf(lane: u32, row: u32, m: f32, least: f32, u: f32) -> u32 {
  let blocks = (params.vocab + 63u) / 64u;
  if (lane == 0u) {
    running = 0.0;
  }
  for (var b0 = 0u; b0 < blocks; b0 += 64u) {
    masses[lane] = blockMass(row, b0 + lane, m, least);
    workgroupBarrier();
    if (lane == 0u) {
      for (var b = 0u; b < min(64u, blocks - b0); b++) {
        running = plus(running, masses[b]);
      }
    }
    workgroupBarrier();
  }
  // The block in which the running sum passes the target; where rounding leaves it short, the last block with any mass.
  var goal = 0.0;
  if (lane == 0u) {
    goal = times(u, running);
    running = 0.0;
    before = 0.0;
    chosen = 0u;
    passed = 0u;
  }
  for (var b0 = 0u; b0 < blocks; b0 += 64u) {
    masses[lane] = blockMass(row, b0 + lane, m, least);
    workgroupBarrier();
    if (lane == 0u && passed == 0u) {
      for (var b = 0u; b < min(64u, blocks - b0); b++) {
        if (masses[b] == 0.0) {
          continue;
        }
        chosen = b0 + b;
        before = running;
        running = plus(running, masses[b]);
        if (running > goal) {
          passed = 1u;
          break;
        }
      }
    }
    workgroupBarrier();
  }
  // Elements of that block, ascending.
  masses[lane] = weight(row, chosen * 64u + lane, m, least);
  workgroupBarrier();
  var last = 0u;
  if (lane == 0u) {
    last = chosen * 64u;
    var sum = before;
    for (var i = 0u; i < 64u; i++) {
      if (masses[i] == 0.0) {
        continue;
      }
      last = chosen * 64u + i;
      sum = plus(sum, masses[i]);
      if (sum > goal) {
        break;
      }
    }
  }
  return last;
}

/// The first of the greatest logits.
var<workgroup> firstGreatest: atomic<u32>;

/// [2^-50, 1] has fewer than 2^29 bit patterns.
const BISECTIONS: u32 = 29u;

/// One token a row: greedy, or top-k, then top-p, then min-p by bisection over the bits of e, then the inverse of the
/// distribution function. Bisections make the same number of rounds, whatever happens, so that control flow is uniform; a
/// finished one stays where it is.
@compute @workgroup_size(64)
fn sample(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  begin(lane);
  let r = groupIndex(group, groups);
  if (r >= params.rows) {
    return;
  }
  let row = r * params.ld;
  let s = statistics(lane, row);
  var y = 0u;
  if (params.greedy != 0u) {
    if (lane == 0u) {
      atomicStore(&firstGreatest, params.vocab);
    }
    workgroupBarrier();
    for (var i = lane; i < params.vocab; i += 64u) {
      if (z[row + i] == s.m) {
        atomicMin(&firstGreatest, i);
      }
    }
    workgroupBarrier();
    y = atomicLoad(&firstGreatest);
  } else {
    // The smallest positive weight: everything is kept but exact zeros.
    var least = TINY;
    if (params.topK > 0u && params.topK < params.vocab) {
      var lo = bitcast<u32>(least);
      var hi = 0x3f800000u;
      for (var t = 0u; t < BISECTIONS; t++) {
        let mid = (lo + hi + 1u) >> 1u;
        let enough = countAbove(lane, row, s.m, bitcast<f32>(mid)) >= params.topK;
        if (lo < hi) {
          if (enough) {
            lo = mid;
          } else {
            hi = mid - 1u;
          }
        }
      }
      least = bitcast<f32>(lo);
    }
    if (params.topP < 1.0) {
      let goal = times(massAbove(lane, row, s.m, least), params.topP);
      var lo = bitcast<u32>(least);
      var hi = 0x3f800000u;
      for (var t = 0u; t < BISECTIONS; t++) {
        let mid = (lo + hi + 1u) >> 1u;
        let enough = massAbove(lane, row, s.m, bitcast<f32>(mid)) >= goal;
        if (lo < hi) {
          if (enough) {
            lo = mid;
          } else {
            hi = mid - 1u;
          }
        }
      }
      least = bitcast<f32>(lo);
    }
    least = max(least, params.minP);
    y = inverseCdf(lane, row, s.m, least, uniforms[r]);
  }
  if (lane == 0u) {
    ids[r] = y;
    logp[r] = minus(minus(z[row + y], s.m), s.logl);
    entropy[r] = s.h;
  }
}
