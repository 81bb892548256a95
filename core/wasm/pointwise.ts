/** Elementwise kernels and row movers. None of them reduces, so order is no question. */
import { constant, flush, flushScalar, TINY } from "./simd";
import { sigmoid4 } from "./elementary";
import { shareEnd, shareStart, threadScratch } from "./parallel";

export function fill(out: usize, n: i32, value: f32): void {
  const end = shareEnd(n, 16);
  const v = f32x4.splat(value);
  let i = shareStart(n, 16);
  for (; i + 4 <= end; i += 4) v128.store(out + (<usize>i << 2), v);
  for (; i < end; i++) store<f32>(out + (<usize>i << 2), value);
}

export function copy(out: usize, x: usize, n: i32): void {
  const start = shareStart(n, 16);
  memory.copy(out + (<usize>start << 2), x + (<usize>start << 2), <usize>max(0, shareEnd(n, 16) - start) << 2);
}

/** out += x */
export function add(out: usize, x: usize, n: i32): void {
  const end = shareEnd(n, 16);
  let i = shareStart(n, 16);
  for (; i + 4 <= end; i += 4) {
    const o = <usize>i << 2;
    v128.store(out + o, f32x4.add(v128.load(out + o), v128.load(x + o)));
  }
  for (; i < end; i++) {
    const o = <usize>i << 2;
    store<f32>(out + o, load<f32>(out + o) + load<f32>(x + o));
  }
}

/** x *= s */
export function scale(x: usize, n: i32, s: f32): void {
  const end = shareEnd(n, 16);
  const s4 = f32x4.splat(s);
  let i = shareStart(n, 16);
  for (; i + 4 <= end; i += 4) {
    const o = <usize>i << 2;
    v128.store(x + o, f32x4.mul(flush(v128.load(x + o), TINY), s4));
  }
  for (; i < end; i++) {
    const o = <usize>i << 2;
    store<f32>(x + o, flushScalar(load<f32>(x + o), TINY) * s);
  }
}

const ONE: usize = memory.data<f32>([1], 16);

/** out = (g · σ(g)) · u; factors below 2^-50 count as 0. */
export function swiglu_fwd(out: usize, gate: usize, up: usize, n: i32): void {
  const end = shareEnd(n, 16);
  let i = shareStart(n, 16);
  // Four at once: see expRow.
  for (; i + 16 <= end; i += 16) {
    const o = <usize>i << 2;
    const h0 = swiglu4(v128.load(gate + o), v128.load(up + o));
    const h1 = swiglu4(v128.load(gate + o, 16), v128.load(up + o, 16));
    const h2 = swiglu4(v128.load(gate + o, 32), v128.load(up + o, 32));
    const h3 = swiglu4(v128.load(gate + o, 48), v128.load(up + o, 48));
    v128.store(out + o, h0);
    v128.store(out + o, h1, 16);
    v128.store(out + o, h2, 32);
    v128.store(out + o, h3, 48);
  }
  for (; i + 4 <= end; i += 4) {
    const o = <usize>i << 2;
    v128.store(out + o, swiglu4(v128.load(gate + o), v128.load(up + o)));
  }
  if (i < end) {
    const o = <usize>i << 2;
    store4(out + o, swiglu4(load4(gate + o, end - i), load4(up + o, end - i)), end - i);
  }
}

// @ts-ignore: decorator
@inline
function swiglu4(gate: v128, up: v128): v128 {
  const g = flush(gate, TINY);
  const silu = flush(f32x4.mul(g, sigmoid4(g)), TINY);
  return f32x4.mul(silu, flush(up, TINY));
}

/** du = dh · silu(g); dg = (dh · u) · (σ + silu · (1 − σ)). */
export function swiglu_bwd(dgate: usize, dup: usize, dh: usize, gate: usize, up: usize, n: i32): void {
  const end = shareEnd(n, 16);
  const rest = threadScratch();
  let i = shareStart(n, 16);
  // Four at once: see expRow. Results may lie where operands lie.
  for (; i + 16 <= end; i += 16) {
    const o = <usize>i << 2;
    const s0 = gate4(v128.load(gate + o));
    const s1 = gate4(v128.load(gate + o, 16));
    const s2 = gate4(v128.load(gate + o, 32));
    const s3 = gate4(v128.load(gate + o, 48));
    slopes4(dgate + o, dup + o, v128.load(dh + o), v128.load(gate + o), v128.load(up + o), s0);
    slopes4(dgate + o + 16, dup + o + 16, v128.load(dh + o, 16), v128.load(gate + o, 16), v128.load(up + o, 16), s1);
    slopes4(dgate + o + 32, dup + o + 32, v128.load(dh + o, 32), v128.load(gate + o, 32), v128.load(up + o, 32), s2);
    slopes4(dgate + o + 48, dup + o + 48, v128.load(dh + o, 48), v128.load(gate + o, 48), v128.load(up + o, 48), s3);
  }
  for (; i < end; i += 4) {
    const o = <usize>i << 2;
    const left = end - i;
    const g = load4(gate + o, left);
    slopes4(rest, rest + 16, load4(dh + o, left), g, load4(up + o, left), gate4(g));
    store4(dgate + o, v128.load(rest), left);
    store4(dup + o, v128.load(rest, 16), left);
  }
}

// @ts-ignore: decorator
@inline
function gate4(gate: v128): v128 {
  return flush(sigmoid4(flush(gate, TINY)), TINY);
}

// @ts-ignore: decorator
@inline
function slopes4(dgate: usize, dup: usize, dh: v128, gate: v128, up: v128, s: v128): void {
  const d = flush(dh, TINY);
  const g = flush(gate, TINY);
  const u = flush(up, TINY);
  const silu = flush(f32x4.mul(g, s), TINY);
  const slope = flush(f32x4.add(s, f32x4.mul(silu, f32x4.sub(constant(ONE, 0), s))), TINY);
  v128.store(dup, f32x4.mul(d, silu));
  v128.store(dgate, f32x4.mul(flush(f32x4.mul(d, u), TINY), slope));
}

function load4(at: usize, left: i32): v128 {
  if (left >= 4) return v128.load(at);
  let v = f32x4.splat(0);
  v = f32x4.replace_lane(v, 0, load<f32>(at));
  if (left > 1) v = f32x4.replace_lane(v, 1, load<f32>(at + 4));
  if (left > 2) v = f32x4.replace_lane(v, 2, load<f32>(at + 8));
  return v;
}

function store4(at: usize, v: v128, left: i32): void {
  if (left >= 4) {
    v128.store(at, v);
    return;
  }
  store<f32>(at, f32x4.extract_lane(v, 0));
  if (left > 1) store<f32>(at + 4, f32x4.extract_lane(v, 1));
  if (left > 2) store<f32>(at + 8, f32x4.extract_lane(v, 2));
}

/**
 * Rotary embedding in place on x[rows, heads, dim]: pairs (d, d + dim/2), angle table cos/sin[position, dim/2].
 * (a, b) → (a·c − b·s, b·c + a·s); `inverse` turns back (the adjoint).
 */
export function rope(x: usize, cos: usize, sin: usize, positions: usize, rows: i32, heads: i32, dim: i32, inverse: i32): void {
  const end = shareEnd(rows, 1);
  const half = dim >> 1;
  for (let r = shareStart(rows, 1); r < end; r++) {
    const table = <usize>(load<i32>(positions + (<usize>r << 2)) * half) << 2;
    for (let h = 0; h < heads; h++) {
      const lo = x + (<usize>((r * heads + h) * dim) << 2);
      const hi = lo + (<usize>half << 2);
      for (let d = 0; d < half; d += 4) {
        const o = <usize>d << 2;
        const left = half - d;
        const a = flush(load4(lo + o, left), TINY);
        const b = flush(load4(hi + o, left), TINY);
        const c = load4(cos + table + o, left);
        let s = load4(sin + table + o, left);
        if (inverse) s = f32x4.neg(s);
        store4(lo + o, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)), left);
        store4(hi + o, f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)), left);
      }
    }
  }
}

/** out[r] = x[index[offset + r]] for rows of `width` (embedding forward, and picking the positions that are scored). */
export function gather_rows(out: usize, x: usize, index: usize, rows: i32, width: i32, offset: i32): void {
  const end = shareEnd(rows, 1);
  const bytes = <usize>width << 2;
  for (let r = shareStart(rows, 1); r < end; r++) {
    memory.copy(out + <usize>r * bytes, x + <usize>load<u32>(index + (<usize>(offset + r) << 2)) * bytes, bytes);
  }
}

/** out[index[offset + r]] = x[r]; indices are distinct. */
export function scatter_rows(out: usize, x: usize, index: usize, rows: i32, width: i32, offset: i32): void {
  const end = shareEnd(rows, 1);
  const bytes = <usize>width << 2;
  for (let r = shareStart(rows, 1); r < end; r++) {
    memory.copy(out + <usize>load<u32>(index + (<usize>(offset + r) << 2)) * bytes, x + <usize>r * bytes, bytes);
  }
}

/** out[index[r]] += x[r]; indices are distinct. */
export function scatter_add_rows(out: usize, x: usize, index: usize, rows: i32, width: i32): void {
  const end = shareEnd(rows, 1);
  for (let r = shareStart(rows, 1); r < end; r++) {
    let o = out + (<usize>load<u32>(index + (<usize>r << 2)) * <usize>width << 2);
    let i = x + (<usize>(r * width) << 2);
    for (let j = 0; j < width; j++, o += 4, i += 4) store<f32>(o, load<f32>(o) + load<f32>(i));
  }
}

/**
 * Embedding backward: for each distinct token u of the micro-batch, dst[slots[u]] += Σ dx[order[e]] for e from starts[u]
 * to starts[u+1], ascending. `dst` has a row for each distinct token of the whole step, so that it fits in memory and
 * the order is that of the step, however it was split.
 */
export function embed_bwd(dst: usize, dx: usize, slots: usize, starts: usize, order: usize, unique: i32, width: i32): void {
  const end = shareEnd(unique, 1);
  const bytes = <usize>width << 2;
  for (let u = shareStart(unique, 1); u < end; u++) {
    const o = dst + <usize>load<u32>(slots + (<usize>u << 2)) * bytes;
    const from = load<i32>(starts + (<usize>u << 2));
    const to = load<i32>(starts + (<usize>(u + 1) << 2));
    for (let e = from; e < to; e++) {
      const x = dx + <usize>load<u32>(order + (<usize>e << 2)) * bytes;
      for (let j: usize = 0; j < bytes; j += 4) store<f32>(o + j, load<f32>(o + j) + load<f32>(x + j));
    }
  }
}
