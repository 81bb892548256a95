/**
 * Packing: the only place where matmul operands are rounded. A panel holds P rows as [k][P]: P = 8 for right operands, 5
 * for left ones (4 with precision 24); with precision 24 as [k][hi P | lo P], hi = round12(x), lo = round12(x − hi), both
 * exact products.
 */
import { bits12, half12, magnitude, round12, round12By, round12Scalar, tiniest } from "./simd";

// @ts-ignore: decorator
@inline
function put(at: usize, v: v128, lo: usize): void {
  const hi = round12(v);
  v128.store(at, hi);
  v128.store(at + lo, round12(f32x4.sub(v, hi)));
}

// @ts-ignore: decorator
@inline
function putScalar(at: usize, x: f32, lo: usize, split: bool): void {
  const hi = round12Scalar(x);
  store<f32>(at, hi);
  if (split) store<f32>(at + lo, round12Scalar(x - hi));
}

/**
 * Four rows given by address, k contiguous, into columns at `dst`; a fifth one at `p4` beside them where `five` is set.
 * `step` = bytes from one k to the next in the panel. `split` and `five` are literals, not both set.
 */
// @ts-ignore: decorator
@inline
function transpose(
  dst: usize, p0: usize, p1: usize, p2: usize, p3: usize, p4: usize, k: i32, step: usize, lo: usize, split: bool, five: bool,
): void {
  const half = half12(), bits = bits12(), size = magnitude(), least = tiniest();
  const end = <usize>(k & ~3) << 2;
  let off: usize = 0;
  for (; off < end; off += 16) {
    let r0 = v128.load(p0 + off), r1 = v128.load(p1 + off), r2 = v128.load(p2 + off), r3 = v128.load(p3 + off);
    if (!split) {
      r0 = round12By(r0, half, bits, size, least);
      r1 = round12By(r1, half, bits, size, least);
      r2 = round12By(r2, half, bits, size, least);
      r3 = round12By(r3, half, bits, size, least);
    }
    const a = v128.shuffle<i32>(r0, r1, 0, 4, 1, 5);
    const b = v128.shuffle<i32>(r2, r3, 0, 4, 1, 5);
    const c = v128.shuffle<i32>(r0, r1, 2, 6, 3, 7);
    const d = v128.shuffle<i32>(r2, r3, 2, 6, 3, 7);
    const k0 = v128.shuffle<i64>(a, b, 0, 2), k1 = v128.shuffle<i64>(a, b, 1, 3);
    const k2 = v128.shuffle<i64>(c, d, 0, 2), k3 = v128.shuffle<i64>(c, d, 1, 3);
    if (split) {
      put(dst, k0, lo);
      put(dst + step, k1, lo);
      put(dst + 2 * step, k2, lo);
      put(dst + 3 * step, k3, lo);
    } else {
      v128.store(dst, k0);
      v128.store(dst + step, k1);
      v128.store(dst + 2 * step, k2);
      v128.store(dst + 3 * step, k3);
    }
    if (five) {
      const r4 = round12By(v128.load(p4 + off), half, bits, size, least);
      v128.store_lane<u32>(dst, r4, 0, 16);
      v128.store_lane<u32>(dst + step, r4, 1, 16);
      v128.store_lane<u32>(dst + 2 * step, r4, 2, 16);
      v128.store_lane<u32>(dst + 3 * step, r4, 3, 16);
    }
    dst += 4 * step;
  }
  for (const last = <usize>k << 2; off < last; off += 4, dst += step) {
    putScalar(dst, load<f32>(p0 + off), lo, split);
    putScalar(dst + 4, load<f32>(p1 + off), lo, split);
    putScalar(dst + 8, load<f32>(p2 + off), lo, split);
    putScalar(dst + 12, load<f32>(p3 + off), lo, split);
    if (five) putScalar(dst + 16, load<f32>(p4 + off), lo, false);
  }
}

/** Four rows given by address, k contiguous, into columns at `dst`. `step` = bytes from one k to the next in the panel. */
function packFourRows(dst: usize, p0: usize, p1: usize, p2: usize, p3: usize, k: i32, step: usize, lo: usize, split: bool): void {
  // For each precision, so that neither asks in its loop.
  if (split) transpose(dst, p0, p1, p2, p3, 0, k, step, lo, true, false);
  else transpose(dst, p0, p1, p2, p3, 0, k, step, lo, false, false);
}

/** A whole left panel with precision 12: five rows `rowStride` bytes apart, k contiguous. */
function packFiveRows(dst: usize, p: usize, rowStride: usize, k: i32): void {
  const p2 = p + 2 * rowStride;
  transpose(dst, p, p + rowStride, p2, p2 + rowStride, p2 + 2 * rowStride, k, 20, 0, false, true);
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
  if (rows == 5 && width == 5 && !split) {
    packFiveRows(dst, src, rowStride, k);
    return;
  }
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

/** A panel of `width` columns (8; 5, or 4 where split) of which `cols` exist: column c of row k at src + k·kStride + 4c bytes. */
export function packCols(dst: usize, src: usize, kStride: usize, cols: i32, k: i32, width: i32, split: bool): void {
  const lo = <usize>width << 2;
  const step = split ? lo << 1 : lo;
  const end = dst + step * <usize>k;
  if (cols == width && !split) {
    const half = half12(), bits = bits12(), size = magnitude(), least = tiniest();
    if (width == 8) {
      for (; dst < end; dst += 32, src += kStride) {
        v128.store(dst, round12By(v128.load(src), half, bits, size, least));
        v128.store(dst, round12By(v128.load(src, 16), half, bits, size, least), 16);
      }
    } else {
      for (; dst < end; dst += 20, src += kStride) {
        v128.store(dst, round12By(v128.load(src), half, bits, size, least));
        v128.store_lane<u32>(dst, round12By(v128.load_splat<u32>(src, 16), half, bits, size, least), 0, 16);
      }
    }
    return;
  }
  if (cols == width) {
    for (; dst < end; dst += step, src += kStride) {
      put(dst, v128.load(src), lo);
      if (width == 8) put(dst + 16, v128.load(src, 16), lo);
    }
    return;
  }
  const vectors = cols & ~3;
  for (; dst < end; dst += step, src += kStride) {
    let c = 0;
    if (split) for (; c < vectors; c += 4) put(dst + (<usize>c << 2), v128.load(src + (<usize>c << 2)), lo);
    else for (; c < vectors; c += 4) v128.store(dst + (<usize>c << 2), round12(v128.load(src + (<usize>c << 2))));
    for (; c < width; c++) putScalar(dst + (<usize>c << 2), c < cols ? load<f32>(src + (<usize>c << 2)) : 0, lo, split);
  }
}

/** Rows of k that are packed together where columns lie side by side: the operand is read along its rows, as it lies. */
export const BAND: i32 = 8;

/** Panels of `width` columns, `panel` bytes apart, for `cols` columns that lie side by side. */
export function packSideBySide(
  dst: usize, panel: usize, src: usize, kStride: usize, cols: i32, k: i32, width: i32, split: bool,
): void {
  const bytes = <usize>width << 2;
  const step = split ? bytes << 1 : bytes;
  for (; k > 0; k -= BAND, dst += <usize>BAND * step, src += <usize>BAND * kStride) {
    let to = dst, from = src;
    for (let left = cols; left > 0; left -= width, to += panel, from += bytes) {
      packCols(to, from, kStride, min(width, left), k < BAND ? k : BAND, width, split);
    }
  }
}
