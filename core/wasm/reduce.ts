/**
 * Reductions in the one order of rule 2: 64 interleaved lanes, lane l takes elements l, l+64, …, then a halving tree
 * 32, 16, 8, 4, 2, 1. The order is a function of the length alone. Elements past the end count as +0, which changes no
 * bit (a lane starts at +0, so it is never −0).
 */
import { flush, TINY } from "./simd";
import { shareEnd, shareStart, threadScratch } from "./parallel";

/** Bytes of a 64-lane accumulator. */
export const LANES_BYTES: usize = 256;

export function lanesClear(lanes: usize): void {
  memory.fill(lanes, 0, LANES_BYTES);
}

/** The halving tree over 64 lanes; destroys them. */
export function lanesTree(lanes: usize): f32 {
  for (let q: usize = 0; q < 128; q += 16) v128.store(lanes + q, f32x4.add(v128.load(lanes + q), v128.load(lanes + q + 128)));
  for (let q: usize = 0; q < 64; q += 16) v128.store(lanes + q, f32x4.add(v128.load(lanes + q), v128.load(lanes + q + 64)));
  const a = f32x4.add(v128.load(lanes), v128.load(lanes + 32));
  const b = f32x4.add(v128.load(lanes + 16), v128.load(lanes + 48));
  const c = f32x4.add(a, b);
  const d = f32x4.add(c, v128.shuffle<i32>(c, c, 2, 3, 2, 3));
  return f32x4.extract_lane(d, 0) + f32x4.extract_lane(d, 1);
}

/** Adds n elements at x (16-byte loads, then a scalar tail) into the lanes, beginning at lane 0. */
export function lanesAdd(lanes: usize, x: usize, n: i32): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const at = lanes + (<usize>(i & 63) << 2);
    v128.store(at, f32x4.add(v128.load(at), v128.load(x + (<usize>i << 2))));
  }
  for (; i < n; i++) {
    const at = lanes + (<usize>(i & 63) << 2);
    store<f32>(at, load<f32>(at) + load<f32>(x + (<usize>i << 2)));
  }
}

/** Σ x·x of n elements, |x| < 2^-50 counted as 0 so that no square is subnormal. */
export function sumSquaresRow(lanes: usize, x: usize, n: i32): f32 {
  lanesClear(lanes);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const at = lanes + (<usize>(i & 63) << 2);
    const v = flush(v128.load(x + (<usize>i << 2)), TINY);
    v128.store(at, f32x4.add(v128.load(at), f32x4.mul(v, v)));
  }
  for (; i < n; i++) {
    const at = lanes + (<usize>(i & 63) << 2);
    let v = load<f32>(x + (<usize>i << 2));
    if (abs(v) < TINY) v = 0;
    store<f32>(at, load<f32>(at) + v * v);
  }
  return lanesTree(lanes);
}

/** Elements a chunk of the two-level reductions holds. */
const CHUNK: i32 = 4096;

/** out[offset + c] = Σ x² over chunk c of 4,096 elements. */
export function sumsq(out: usize, x: usize, n: i32, offset: i32): void {
  const chunks = (n + CHUNK - 1) / CHUNK;
  const end = shareEnd(chunks, 1);
  const lanes = threadScratch();
  for (let c = shareStart(chunks, 1); c < end; c++) {
    const from = c * CHUNK;
    store<f32>(out + (<usize>(offset + c) << 2), sumSquaresRow(lanes, x + (<usize>from << 2), min(CHUNK, n - from)));
  }
}

/** db[j] += Σ_r dy[r, j], r ascending, starting from what db holds. */
export function bias_bwd(db: usize, dy: usize, rows: i32, n: i32): void {
  const end = shareEnd(n, 4);
  let j = shareStart(n, 4);
  const stride = <usize>n << 2;
  for (; j + 4 <= end; j += 4) {
    let acc = v128.load(db + (<usize>j << 2));
    let at = dy + (<usize>j << 2);
    for (let r = 0; r < rows; r++, at += stride) acc = f32x4.add(acc, v128.load(at));
    v128.store(db + (<usize>j << 2), acc);
  }
  for (; j < end; j++) {
    let acc = load<f32>(db + (<usize>j << 2));
    let at = dy + (<usize>j << 2);
    for (let r = 0; r < rows; r++, at += stride) acc += load<f32>(at);
    store<f32>(db + (<usize>j << 2), acc);
  }
}

// @ts-ignore: decorator
@inline
function mix(x: u32): u32 {
  x ^= x >> 16;
  x *= 0x85ebca6b;
  x ^= x >> 13;
  x *= 0xc2b2ae35;
  return x ^ (x >> 16);
}

/**
 * Two 32-bit sums (mod 2^32, so in any order) of a hash of each element's bits and its place: a fingerprint of a tensor
 * that a GPU can compute too. Added to out[2·slot] and out[2·slot + 1].
 */
export function digest(out: usize, x: usize, n: i32, slot: i32): void {
  const end = shareEnd(n, 1);
  let a: u32 = 0;
  let b: u32 = 0;
  for (let i = shareStart(n, 1); i < end; i++) {
    const bits = load<u32>(x + (<usize>i << 2));
    a += mix(bits ^ (<u32>i * 0x9e3779b1 + 0x7f4a7c15));
    b += mix((bits + 0x6a09e667) ^ (<u32>i * 0xbb67ae85 + 0x3c6ef372));
  }
  atomic.add<u32>(out + (<usize>slot << 3), a);
  atomic.add<u32>(out + (<usize>slot << 3) + 4, b);
}
