/**
 * Packing: the only place where matmul operands are rounded. A panel holds P rows as [k][P]: P = 8 for right operands, 5
 * for left ones (4 with precision 24); with precision 24 as [k][hi P | lo P], hi = round12(x), lo = round12(x − hi), both
 * exact products.
 */
import { round12, round12Scalar } from "./simd";

// @ts-ignore: decorator
@inline
function put(at: usize, v: v128, lo: usize, split: bool): void {
  const hi = round12(v);
  v128.store(at, hi);
  if (split) v128.store(at + lo, round12(f32x4.sub(v, hi)));
}

// @ts-ignore: decorator
@inline
function putScalar(at: usize, x: f32, lo: usize, split: bool): void {
  const hi = round12Scalar(x);
  store<f32>(at, hi);
  if (split) store<f32>(at + lo, round12Scalar(x - hi));
}

/** Four rows given by address, k contiguous, into columns at `dst`. `step` = bytes from one k to the next in the panel. */
// @ts-ignore: decorator
@inline
function transposeFour(dst: usize, p0: usize, p1: usize, p2: usize, p3: usize, k: i32, step: usize, lo: usize, split: bool): void {
  const end = <usize>(k & ~3) << 2;
  let off: usize = 0;
  for (; off < end; off += 16) {
    const r0 = v128.load(p0 + off);
    const r1 = v128.load(p1 + off);
    const r2 = v128.load(p2 + off);
    const r3 = v128.load(p3 + off);
    const a = v128.shuffle<i32>(r0, r1, 0, 4, 1, 5);
    const b = v128.shuffle<i32>(r2, r3, 0, 4, 1, 5);
    const c = v128.shuffle<i32>(r0, r1, 2, 6, 3, 7);
    const d = v128.shuffle<i32>(r2, r3, 2, 6, 3, 7);
    put(dst, v128.shuffle<i64>(a, b, 0, 2), lo, split);
    dst += step;
    put(dst, v128.shuffle<i64>(a, b, 1, 3), lo, split);
    dst += step;
    put(dst, v128.shuffle<i64>(c, d, 0, 2), lo, split);
    dst += step;
    put(dst, v128.shuffle<i64>(c, d, 1, 3), lo, split);
    dst += step;
  }
  for (const last = <usize>k << 2; off < last; off += 4, dst += step) {
    putScalar(dst, load<f32>(p0 + off), lo, split);
    putScalar(dst + 4, load<f32>(p1 + off), lo, split);
    putScalar(dst + 8, load<f32>(p2 + off), lo, split);
    putScalar(dst + 12, load<f32>(p3 + off), lo, split);
  }
}

/** transposeFour for each precision, so that neither asks in its loop. */
export function packFourRows(dst: usize, p0: usize, p1: usize, p2: usize, p3: usize, k: i32, step: usize, lo: usize, split: bool): void {
  if (split) transposeFour(dst, p0, p1, p2, p3, k, step, lo, true);
  else transposeFour(dst, p0, p1, p2, p3, k, step, lo, false);
}

/** One row, k contiguous, into a column at `dst`. */
function packOneRow(dst: usize, src: usize, k: i32, step: usize, lo: usize, split: bool): void {
  const end = src + (<usize>k << 2);
  if (!split) {
    for (const full = src + (<usize>(k & ~3) << 2); src < full; src += 16) {
      const v = round12(v128.load(src));
      v128.store_lane<u32>(dst, v, 0);
      dst += step;
      v128.store_lane<u32>(dst, v, 1);
      dst += step;
      v128.store_lane<u32>(dst, v, 2);
      dst += step;
      v128.store_lane<u32>(dst, v, 3);
      dst += step;
    }
  }
  for (; src < end; src += 4, dst += step) putScalar(dst, load<f32>(src), lo, split);
}

/** A panel of `width` rows of which `rows` exist (the others are zeros), row r at src + r·rowStride bytes, k contiguous. */
export function packRows(dst: usize, src: usize, rowStride: usize, rows: i32, k: i32, width: i32, split: bool): void {
  const lo = <usize>width << 2;
  const step = split ? lo << 1 : lo;
  if (rows < width) memory.fill(dst, 0, step * <usize>k);
  for (let r = 0; r < rows; ) {
    const p = src + <usize>r * rowStride;
    const to = dst + (<usize>r << 2);
    if (rows - r >= 4) {
      packFourRows(to, p, p + rowStride, p + 2 * rowStride, p + 3 * rowStride, k, step, lo, split);
      r += 4;
    } else {
      packOneRow(to, p, k, step, lo, split);
      r++;
    }
  }
}

/** The columns of a whole panel for one k. `width` and `split` are literals. */
// @ts-ignore: decorator
@inline
function putWidth(to: usize, from: usize, lo: usize, width: i32, split: bool): void {
  put(to, v128.load(from), lo, split);
  if (width == 8) put(to + 16, v128.load(from, 16), lo, split);
  if (width == 5) v128.store_lane<u32>(to, round12(v128.load_splat<u32>(from, 16)), 0, 16);
}

/** A panel of `width` columns of which `cols` exist: column c of row k at src + k·kStride + 4c bytes. */
export function packCols(dst: usize, src: usize, kStride: usize, cols: i32, k: i32, width: i32, split: bool): void {
  const lo = <usize>width << 2;
  const step = split ? lo << 1 : lo;
  if (cols == width && !split) {
    const end = dst + step * <usize>k;
    if (width == 8) for (; dst < end; dst += 32, src += kStride) putWidth(dst, src, lo, 8, false);
    else if (width == 5) for (; dst < end; dst += 20, src += kStride) putWidth(dst, src, lo, 5, false);
    return;
  }
  const vectors = cols & ~3;
  for (let i = 0; i < k; i++, dst += step, src += kStride) {
    let c = 0;
    for (; c < vectors; c += 4) put(dst + (<usize>c << 2), v128.load(src + (<usize>c << 2)), lo, split);
    for (; c < width; c++) putScalar(dst + (<usize>c << 2), c < cols ? load<f32>(src + (<usize>c << 2)) : 0, lo, split);
  }
}

/** Panels that are packed together where their columns lie side by side, so that a line of the operand is read once. */
export const GROUP: i32 = 2;

/** Two whole panels, `panel` bytes apart: column c of row k at src + k·kStride + 4c bytes. */
// @ts-ignore: decorator
@inline
function packPair(dst: usize, panel: usize, src: usize, kStride: usize, k: i32, width: i32, split: bool): void {
  const lo = <usize>width << 2;
  const step = split ? lo << 1 : lo;
  const end = dst + step * <usize>k;
  let other = dst + panel;
  for (; dst < end; dst += step, other += step, src += kStride) {
    putWidth(dst, src, lo, width, split);
    putWidth(other, src + lo, lo, width, split);
  }
}

/** Panels of `width` columns, `panel` bytes apart, for `cols` columns that lie side by side. */
export function packSideBySide(
  dst: usize, panel: usize, src: usize, kStride: usize, cols: i32, k: i32, width: i32, split: bool,
): void {
  const wide = GROUP * width;
  for (; cols >= wide; cols -= wide, dst += <usize>GROUP * panel, src += <usize>wide << 2) {
    if (width == 8) {
      if (split) packPair(dst, panel, src, kStride, k, 8, true);
      else packPair(dst, panel, src, kStride, k, 8, false);
    } else if (split) packPair(dst, panel, src, kStride, k, 4, true);
    else packPair(dst, panel, src, kStride, k, 5, false);
  }
  for (; cols > 0; cols -= width, dst += panel, src += <usize>width << 2) {
    packCols(dst, src, kStride, min(width, cols), k, width, split);
  }
}
