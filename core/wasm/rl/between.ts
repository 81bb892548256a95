/**
 * @file Spreading a coarse level over a finer one and reducing the finer to the coarse, a block of it at a time.
 *
 * A level is given by runs (offsets[s] … offsets[s+1] are the elements of segment s) or by an index (element i belongs
 * to segment index[i]). Sums over runs use four accumulators, element p of a segment going to accumulator p mod 4,
 * which are kept from block to block: the order is a function of the segment's length alone, never of its place.
 */

/** The segment that element `i` lies in: the last s with offsets[s] ≤ i that is not empty. */
export function segmentOf(offsets: usize, segments: i32, i: i32): i32 {
  let lo = 0;
  let hi = segments - 1;
  while (lo < hi) {
    const mid = (lo + hi + 1) >>> 1;
    if (load<i32>(offsets + (<usize>mid << 2)) <= i) lo = mid;
    else hi = mid - 1;
  }
  return lo;
}

/** out[i] = source[segment of (from + i)], i < n. */
export function spreadRuns(out: usize, source: usize, offsets: usize, segments: i32, from: i32, n: i32): void {
  let s = segmentOf(offsets, segments, from);
  let i = 0;
  while (i < n) {
    const end = min(load<i32>(offsets + (<usize>(s + 1) << 2)) - from, n);
    const value = load<f64>(source + (<usize>s << 3));
    const pair = f64x2.splat(value);
    for (; i + 2 <= end; i += 2) v128.store(out + (<usize>i << 3), pair);
    for (; i < end; i++) store<f64>(out + (<usize>i << 3), value);
    s++;
  }
}

export function spreadIndex(out: usize, source: usize, index: usize, from: i32, n: i32): void {
  index += <usize>from << 2;
  for (let i = 0; i < n; i++) {
    store<f64>(out + (<usize>i << 3), load<f64>(source + (<usize>load<i32>(index + (<usize>i << 2)) << 3)));
  }
}

/** out[segment] = sum of the segment's elements; `lanes` holds the four accumulators of an unfinished segment. */
export function sumRuns(out: usize, x: usize, offsets: usize, segments: i32, lanes: usize, from: i32, n: i32): void {
  sums(false, out, x, x, offsets, segments, lanes, from, n);
}

/** out[segment] = sum of x·y, each product rounded, in the order of sumRuns: the same bits as of the two one by one. */
export function sumProducts(
  out: usize,
  x: usize,
  y: usize,
  offsets: usize,
  segments: i32,
  lanes: usize,
  from: i32,
  n: i32,
): void {
  sums(true, out, x, y, offsets, segments, lanes, from, n);
}

// @ts-ignore: decorator
@inline
function pair(product: bool, x: usize, y: usize): v128 {
  return product ? f64x2.mul(v128.load(x), v128.load(y)) : v128.load(x);
}

// @ts-ignore: decorator
@inline
function single(product: bool, x: usize, y: usize): f64 {
  return product ? load<f64>(x) * load<f64>(y) : load<f64>(x);
}

// @ts-ignore: decorator
@inline
function sums(
  product: bool,
  out: usize,
  x: usize,
  y: usize,
  offsets: usize,
  segments: i32,
  lanes: usize,
  from: i32,
  n: i32,
): void {
  let s = segmentOf(offsets, segments, from);
  let i = 0;
  while (i < n) {
    const start = load<i32>(offsets + (<usize>s << 2)) - from;
    const whole = load<i32>(offsets + (<usize>(s + 1) << 2)) - from;
    const end = min(whole, n);
    if (start == i && end == whole) {
      // The whole segment is in this block: the accumulators stay in registers.
      let p = f64x2.splat(0);
      let q = f64x2.splat(0);
      let at = <usize>i << 3;
      for (; i + 4 <= end; i += 4) {
        p = f64x2.add(p, pair(product, x + at, y + at));
        q = f64x2.add(q, pair(product, x + at + 16, y + at + 16));
        at += 32;
      }
      const left = end - i;
      if (left == 1) p = f64x2.replace_lane(p, 0, f64x2.extract_lane(p, 0) + single(product, x + at, y + at));
      else if (left > 1) {
        p = f64x2.add(p, pair(product, x + at, y + at));
        if (left == 3)
          q = f64x2.replace_lane(q, 0, f64x2.extract_lane(q, 0) + single(product, x + at + 16, y + at + 16));
      }
      i = end;
      store<f64>(
        out + (<usize>s << 3),
        f64x2.extract_lane(p, 0) + f64x2.extract_lane(p, 1) + (f64x2.extract_lane(q, 0) + f64x2.extract_lane(q, 1)),
      );
      s++;
      continue;
    }
    if (start == i) {
      v128.store(lanes, f64x2.splat(0));
      v128.store(lanes + 16, f64x2.splat(0));
    }
    for (; i < end && (i - start) & 3; i++) {
      const lane = lanes + (<usize>((i - start) & 3) << 3);
      store<f64>(lane, load<f64>(lane) + single(product, x + (<usize>i << 3), y + (<usize>i << 3)));
    }
    let p = v128.load(lanes);
    let q = v128.load(lanes + 16);
    for (; i + 4 <= end; i += 4) {
      const at = <usize>i << 3;
      p = f64x2.add(p, pair(product, x + at, y + at));
      q = f64x2.add(q, pair(product, x + at + 16, y + at + 16));
    }
    v128.store(lanes, p);
    v128.store(lanes + 16, q);
    for (; i < end; i++) {
      const lane = lanes + (<usize>((i - start) & 3) << 3);
      store<f64>(lane, load<f64>(lane) + single(product, x + (<usize>i << 3), y + (<usize>i << 3)));
    }
    if (end == whole) {
      store<f64>(
        out + (<usize>s << 3),
        load<f64>(lanes) + load<f64>(lanes + 8) + (load<f64>(lanes + 16) + load<f64>(lanes + 24)),
      );
    }
    s++;
  }
}

export function sumIndex(out: usize, x: usize, index: usize, from: i32, n: i32): void {
  index += <usize>from << 2;
  for (let i = 0; i < n; i++) {
    const at = out + (<usize>load<i32>(index + (<usize>i << 2)) << 3);
    store<f64>(at, load<f64>(at) + load<f64>(x + (<usize>i << 3)));
  }
}

/** Largest (sign 1) or smallest (sign -1) element of each segment; order-free. */
export function extremeRuns(
  out: usize,
  x: usize,
  offsets: usize,
  segments: i32,
  sign: f64,
  from: i32,
  n: i32,
): void {
  let s = segmentOf(offsets, segments, from);
  let i = 0;
  while (i < n) {
    const start = load<i32>(offsets + (<usize>s << 2)) - from;
    const end = min(load<i32>(offsets + (<usize>(s + 1) << 2)) - from, n);
    if (i < end) {
      const at = out + (<usize>s << 3);
      let best = start == i ? load<f64>(x + (<usize>i << 3)) : load<f64>(at);
      if (sign > 0) for (; i < end; i++) best = max(best, load<f64>(x + (<usize>i << 3)));
      else for (; i < end; i++) best = min(best, load<f64>(x + (<usize>i << 3)));
      store<f64>(at, best);
    }
    s++;
  }
}

/** As extremeRuns, by index; `out` starts as -sign·infinity (see settle). */
export function extremeIndex(out: usize, x: usize, index: usize, sign: f64, from: i32, n: i32): void {
  index += <usize>from << 2;
  for (let i = 0; i < n; i++) {
    const at = out + (<usize>load<i32>(index + (<usize>i << 2)) << 3);
    const v = load<f64>(x + (<usize>i << 3));
    if (sign * v > sign * load<f64>(at)) store<f64>(at, v);
  }
}
