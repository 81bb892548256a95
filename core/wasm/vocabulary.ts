/**
 * The vocabulary kernels: rows of logits (a chunk of positions at a time; tokens × vocabulary never exists) to the
 * log-probability of a given token and the entropy; back from dlogp and dentropy to dlogits; and sampling.
 *
 * With z = logits · invT, m = max z, e_v = exp(z_v − m), l = Σ64 e, L = log l:
 *   logp = (z_y − m) − L,   H = L − (Σ64 e_v (z_v − m)) / l
 *   dz_v = (dlogp·(δ_vy − p_v) − dH·p_v((z_v − m − L) + H)) · invT,   p_v = e_v / l
 * Statistics kept for backward, four words a row: m, 1/l, L, H.
 */
import { exp4, expRow, log1, rcp1 } from "./elementary";
import { lanesClear, lanesTree } from "./reduce";
import { flush, flushScalar, TINY } from "./simd";
import { shareEnd, shareStart, threadScratch } from "./parallel";

// @ts-ignore: decorator
@inline
function maxOf(z: usize, n: i32): f32 {
  let m4 = v128.load_splat<f32>(z);
  let i = 0;
  for (; i + 4 <= n; i += 4) m4 = f32x4.pmax(m4, v128.load(z + (<usize>i << 2)));
  let m = max(max(f32x4.extract_lane(m4, 0), f32x4.extract_lane(m4, 1)), max(f32x4.extract_lane(m4, 2), f32x4.extract_lane(m4, 3)));
  for (; i < n; i++) m = max(m, load<f32>(z + (<usize>i << 2)));
  return m;
}

/** A block of 64 exponentials in the thread's scratch, behind two sets of lanes and a row's statistics; then m, eight times. */
const EXPONENTIALS: usize = 1024;
const MOST: usize = EXPONENTIALS + 256;

/** z ← z · invT, then the four statistics of the row. `ld` floats a row, zero-filled to a multiple of 4 by the caller's stride. */
function statistics(stat: usize, z: usize, n: i32, invT: f32, lanes: usize): void {
  const t4 = f32x4.splat(invT);
  for (let i = 0; i < n; i += 4) {
    const o = <usize>i << 2;
    v128.store(z + o, f32x4.mul(flush(v128.load(z + o), TINY), t4));
  }
  const m = maxOf(z, n);
  const m4 = f32x4.splat(m);
  const sums = lanes;
  const weighted = lanes + 256;
  lanesClear(sums);
  lanesClear(weighted);
  v128.store(lanes + MOST, m4);
  v128.store(lanes + MOST, m4, 16);
  let i = 0;
  for (const whole = n & ~3; i < whole; i += 4) {
    const at = <usize>(i & 63) << 2;
    const row = z + (<usize>i << 2);
    if (at == 0) expRow(lanes + EXPONENTIALS, row, <usize>min(64, whole - i) << 2, lanes + MOST);
    const d = f32x4.sub(v128.load(row), m4);
    const e = flush(v128.load(lanes + EXPONENTIALS + at), TINY);
    v128.store(sums + at, f32x4.add(v128.load(sums + at), e));
    v128.store(weighted + at, f32x4.add(v128.load(weighted + at), f32x4.mul(e, flush(d, TINY))));
  }
  for (; i < n; i++) {
    const at = <usize>(i & 63) << 2;
    const d: f32 = load<f32>(z + (<usize>i << 2)) - m;
    const e = flushScalar(f32x4.extract_lane(exp4(f32x4.splat(d)), 0), TINY);
    store<f32>(sums + at, load<f32>(sums + at) + e);
    store<f32>(weighted + at, load<f32>(weighted + at) + e * flushScalar(d, TINY));
  }
  const l = lanesTree(sums);
  const w = lanesTree(weighted);
  const inverse = rcp1(l);
  const logl = log1(l);
  store<f32>(stat, m);
  store<f32>(stat, inverse, 4);
  store<f32>(stat, logl, 8);
  store<f32>(stat, logl - w * inverse, 12);
}

export function logprob_fwd(logp: usize, entropy: usize, stats: usize, z: usize, targets: usize, rows: i32, vocab: i32, ld: i32, offset: i32, invT: f32): void {
  const lanes = threadScratch();
  const end = shareEnd(rows, 1);
  for (let r = shareStart(rows, 1); r < end; r++) {
    const row = z + (<usize>(r * ld) << 2);
    const at = <usize>(offset + r);
    const stat = stats + (at << 4);
    statistics(stat, row, vocab, invT, lanes);
    const y = <usize>load<u32>(targets + (at << 2));
    store<f32>(logp + (at << 2), load<f32>(row + (y << 2)) - load<f32>(stat) - load<f32>(stat, 8));
    store<f32>(entropy + (at << 2), load<f32>(stat, 12));
  }
}

/** z (as logprob_fwd left it, already · invT) → dlogits in place. */
export function logprob_bwd(z: usize, stats: usize, targets: usize, dlogp: usize, dentropy: usize, rows: i32, vocab: i32, ld: i32, offset: i32, invT: f32): void {
  const end = shareEnd(rows, 1);
  const t4 = f32x4.splat(invT);
  const scratch = threadScratch();
  for (let r = shareStart(rows, 1); r < end; r++) {
    const row = z + (<usize>(r * ld) << 2);
    const at = <usize>(offset + r);
    const stat = stats + (at << 4);
    const m4 = v128.load_splat<f32>(stat);
    v128.store(scratch + MOST, m4);
    v128.store(scratch + MOST, m4, 16);
    const inverse = v128.load_splat<f32>(stat + 4);
    const logl = v128.load_splat<f32>(stat + 8);
    const h = v128.load_splat<f32>(stat + 12);
    const gp = flushScalar(load<f32>(dlogp + (at << 2)), TINY);
    const gp4 = f32x4.splat(gp);
    const gh = f32x4.splat(flushScalar(load<f32>(dentropy + (at << 2)), TINY));
    const y = load<i32>(targets + (at << 2));
    for (let i = 0; i < vocab; i += 4) {
      const o = <usize>i << 2;
      const at = o & 255;
      // Past the vocabulary a row goes on to a multiple of four.
      if (at == 0) expRow(scratch + EXPONENTIALS, row + o, <usize>min(64, (vocab - i + 3) & ~3) << 2, scratch + MOST);
      const d = f32x4.sub(v128.load(row + o), m4);
      const p = f32x4.mul(flush(v128.load(scratch + EXPONENTIALS + at), TINY), inverse);
      const slope = f32x4.add(gp4, flush(f32x4.mul(gh, f32x4.add(f32x4.sub(d, logl), h)), TINY));
      v128.store(row + o, f32x4.mul(flush(f32x4.neg(f32x4.mul(flush(p, TINY), flush(slope, TINY))), TINY), t4));
    }
    const o = <usize>y << 2;
    store<f32>(row + o, load<f32>(row + o) + gp * invT);
    if (ld > vocab) memory.fill(row + (<usize>vocab << 2), 0, <usize>(ld - vocab) << 2);
  }
}

/** Σ64 of the e_v ≥ floor, where e = exp(z − m). */
function massAbove(z: usize, n: i32, m: f32, floor: f32, lanes: usize): f32 {
  lanesClear(lanes);
  for (let i = 0; i < n; i += 4) {
    const at = lanes + (<usize>(i & 63) << 2);
    const e = weight4(z, i, n, m, floor);
    v128.store(at, f32x4.add(v128.load(at), e));
  }
  return lanesTree(lanes);
}

/** Four weights exp(z − m) from element i, 0 below `floor` and past n. */
// @ts-ignore: decorator
@inline
function weight4(z: usize, i: i32, n: i32, m: f32, floor: f32): v128 {
  let e = flush(exp4(f32x4.sub(v128.load(z + (<usize>i << 2)), f32x4.splat(m))), TINY);
  e = v128.and(e, f32x4.ge(e, f32x4.splat(floor)));
  if (i + 4 > n) {
    const left = n - i;
    if (left < 4) e = f32x4.replace_lane(e, 3, 0);
    if (left < 3) e = f32x4.replace_lane(e, 2, 0);
    if (left < 2) e = f32x4.replace_lane(e, 1, 0);
  }
  return e;
}

/** How many weights are ≥ floor. */
function countAbove(z: usize, n: i32, m: f32, floor: f32): i32 {
  let count = 0;
  for (let i = 0; i < n; i += 4) {
    const w = weight4(z, i, n, m, floor);
    count += popcnt(i32x4.bitmask(f32x4.ge(w, f32x4.splat(floor))));
  }
  return count;
}

/**
 * One token a row. Order of the cuts: temperature (already in z), top-k, top-p (of what top-k left), min-p; each cut keeps
 * ties. The cut values are found by bisection over the bits of e, so they need no sort. Then the inverse of the
 * distribution function at u: blocks of 64 weights, each block summed by the halving tree, blocks and then elements
 * ascending. greedy = 1: the first of the greatest logits. `logp` and `entropy` are those of the whole distribution at
 * this temperature: the same numbers, from the same code, that training computes.
 */
export function sample(
  ids: usize, logp: usize, entropy: usize, z: usize, uniforms: usize,
  rows: i32, vocab: i32, ld: i32, greedy: i32, topK: i32, invT: f32, topP: f32, minP: f32,
): void {
  const lanes = threadScratch();
  const stat = lanes + 512;
  const end = shareEnd(rows, 1);
  for (let r = shareStart(rows, 1); r < end; r++) {
    const row = z + (<usize>(r * ld) << 2);
    statistics(stat, row, vocab, invT, lanes);
    const m = load<f32>(stat);
    let y = 0;
    if (greedy) {
      while (load<f32>(row + (<usize>y << 2)) != m) y++;
    } else {
      // The smallest positive weight: everything is kept but exact zeros.
      let floor: f32 = TINY;
      if (topK > 0 && topK < vocab) {
        let lo = reinterpret<u32>(floor);
        let hi = reinterpret<u32>(<f32>1);
        while (lo < hi) {
          const mid = (lo + hi + 1) >> 1;
          if (countAbove(row, vocab, m, reinterpret<f32>(mid)) >= topK) lo = mid;
          else hi = mid - 1;
        }
        floor = reinterpret<f32>(lo);
      }
      if (topP < 1) {
        const target: f32 = massAbove(row, vocab, m, floor, lanes) * topP;
        let lo = reinterpret<u32>(floor);
        let hi = reinterpret<u32>(<f32>1);
        while (lo < hi) {
          const mid = (lo + hi + 1) >> 1;
          if (massAbove(row, vocab, m, reinterpret<f32>(mid), lanes) >= target) lo = mid;
          else hi = mid - 1;
        }
        floor = reinterpret<f32>(lo);
      }
      if (minP > floor) floor = minP;
      y = inverseCdf(row, vocab, m, floor, load<f32>(uniforms + (<usize>r << 2)), lanes);
    }
    store<u32>(ids + (<usize>r << 2), y);
    store<f32>(logp + (<usize>r << 2), load<f32>(row + (<usize>y << 2)) - m - load<f32>(stat, 8));
    store<f32>(entropy + (<usize>r << 2), load<f32>(stat, 12));
  }
}

/** Sum of the 64 weights of block b, by the halving tree; the weights stay in `lanes + 256`. */
function blockMass(z: usize, b: i32, n: i32, m: f32, floor: f32, lanes: usize): f32 {
  const weights = lanes + 256;
  for (let i = 0; i < 64; i += 4) {
    const at = b * 64 + i;
    const e = at < n ? weight4(z, at, n, m, floor) : f32x4.splat(0);
    v128.store(weights + (<usize>i << 2), e);
    v128.store(lanes + (<usize>i << 2), e);
  }
  return lanesTree(lanes);
}

/** Block masses are kept in the thread's scratch from here on: 4 kB of statistics below, room for 15,000 blocks above. */
const MASSES: usize = 4096;

function inverseCdf(z: usize, n: i32, m: f32, floor: f32, u: f32, lanes: usize): i32 {
  const blocks = (n + 63) / 64;
  const masses = lanes + MASSES;
  let total: f32 = 0;
  for (let b = 0; b < blocks; b++) {
    const mass = blockMass(z, b, n, m, floor, lanes);
    store<f32>(masses + (<usize>b << 2), mass);
    total += mass;
  }
  const target: f32 = u * total;
  // The block in which the running sum passes the target; where rounding leaves it short, the last block with any mass.
  let block = 0;
  let before: f32 = 0;
  let sum: f32 = 0;
  for (let b = 0; b < blocks; b++) {
    const mass = load<f32>(masses + (<usize>b << 2));
    if (mass == 0) continue;
    block = b;
    before = sum;
    sum += mass;
    if (sum > target) break;
  }
  blockMass(z, block, n, m, floor, lanes);
  let last = block * 64;
  sum = before;
  for (let i = 0; i < 64; i++) {
    const w = load<f32>(lanes + 256 + (<usize>i << 2));
    if (w == 0) continue;
    last = block * 64 + i;
    sum += w;
    if (sum > target) break;
  }
  return last;
}
