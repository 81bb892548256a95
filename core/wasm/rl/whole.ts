/**
 * @file Operations that need a whole vector at once: linear recurrences, shifts, gathers, sorting.
 *
 * Segments are runs: offsets[s] … offsets[s+1].
 */

/** Forward: out[t] = x[t] + decay[t]·out[t−1]; backward: out[t] = x[t] + decay[t]·out[t+1]; 0 outside the segment. */
export function recur(
  out: usize,
  x: usize,
  decay: usize,
  offsets: usize,
  segments: i32,
  backward: i32,
): void {
  for (let s = 0; s < segments; s++) {
    const first = <usize>load<i32>(offsets + (<usize>s << 2)) << 3;
    const end = <usize>load<i32>(offsets + (<usize>(s + 1) << 2)) << 3;
    let carry: f64 = 0.0;
    if (backward) {
      for (let i = end; i > first; ) {
        i -= 8;
        carry = load<f64>(x + i) + load<f64>(decay + i) * carry;
        store<f64>(out + i, carry);
      }
    } else {
      for (let i = first; i < end; i += 8) {
        carry = load<f64>(x + i) + load<f64>(decay + i) * carry;
        store<f64>(out + i, carry);
      }
    }
  }
}

/** out[t] = x[t − by] inside the segment, 0 where t − by lies outside. */
export function shift(out: usize, x: usize, offsets: usize, segments: i32, by: i32): void {
  for (let s = 0; s < segments; s++) {
    const first = load<i32>(offsets + (<usize>s << 2));
    const end = load<i32>(offsets + (<usize>(s + 1) << 2));
    for (let t = first; t < end; t++) {
      const from = t - by;
      store<f64>(out + (<usize>t << 3), from >= first && from < end ? load<f64>(x + (<usize>from << 3)) : 0.0);
    }
  }
}

/** out[i] = x[index[i]]; 0 where the index is negative. */
export function gather(out: usize, x: usize, index: usize, n: i32): void {
  for (let i: usize = 0; i < (<usize>n << 3); i += 8) {
    const k = <i32>load<f64>(index + i);
    store<f64>(out + i, k < 0 ? 0.0 : load<f64>(x + (<usize>k << 3)));
  }
}

/** out[index[i]] += x[i] in ascending i, from zero; negative indices are dropped. */
export function scatterAdd(out: usize, size: i32, x: usize, index: usize, n: i32): void {
  memory.fill(out, 0, <usize>size << 3);
  for (let i: usize = 0; i < (<usize>n << 3); i += 8) {
    const k = <i32>load<f64>(index + i);
    if (k < 0) continue;
    const at = out + (<usize>k << 3);
    store<f64>(at, load<f64>(at) + load<f64>(x + i));
  }
}

/** Segment by segment, the positions of the elements in ascending order of value (stable). Bottom-up merge sort. */
export function order(out: usize, x: usize, offsets: usize, segments: i32, scratch: usize): void {
  for (let s = 0; s < segments; s++) {
    const first = load<i32>(offsets + (<usize>s << 2));
    const n = load<i32>(offsets + (<usize>(s + 1) << 2)) - first;
    let a = out + (<usize>first << 3);
    let b = scratch + (<usize>first << 3);
    for (let i = 0; i < n; i++) store<f64>(a + (<usize>i << 3), <f64>(first + i));
    for (let width = 1; width < n; width <<= 1) {
      for (let left = 0; left < n; left += width << 1) {
        const mid = min(left + width, n);
        const end = min(left + (width << 1), n);
        let i = left;
        let j = mid;
        for (let k = left; k < end; k++) {
          let takeLeft = j >= end;
          if (i < mid && j < end) {
            const u = load<f64>(x + (<usize>load<f64>(a + (<usize>i << 3)) << 3));
            const v = load<f64>(x + (<usize>load<f64>(a + (<usize>j << 3)) << 3));
            takeLeft = u <= v;
          }
          store<f64>(b + (<usize>k << 3), load<f64>(a + (<usize>(takeLeft ? i++ : j++) << 3)));
        }
      }
      const swap = a;
      a = b;
      b = swap;
    }
    const home = out + (<usize>first << 3);
    if (a != home) memory.copy(home, a, <usize>n << 3);
  }
}

/** Forward position of the running extreme: out[t] = argmax (sign 1) or argmin (sign -1) of x over the segment up to t. */
export function running(out: usize, x: usize, offsets: usize, segments: i32, sign: f64): void {
  for (let s = 0; s < segments; s++) {
    const first = load<i32>(offsets + (<usize>s << 2));
    const end = load<i32>(offsets + (<usize>(s + 1) << 2));
    let best = first;
    for (let t = first; t < end; t++) {
      if (sign * load<f64>(x + (<usize>t << 3)) > sign * load<f64>(x + (<usize>best << 3))) best = t;
      store<f64>(out + (<usize>t << 3), <f64>best);
    }
  }
}
