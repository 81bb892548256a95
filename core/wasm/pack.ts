/**
 * Packing: the only place where matmul operands are rounded. A panel holds P rows (P = 4 for left operands, 8 for right
 * ones) as [k][P]; with precision 24 as [k][hi P | lo P], hi = round12(x), lo = round12(x − hi), both exact products.
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

/**
 * Four rows given by address (0 = absent, packed as zeros), k contiguous, into columns at `dst`.
 * `step` = bytes from one k to the next in the panel; `lo` = bytes from a hi to its lo.
 */
export function packFourRows(dst: usize, p0: usize, p1: usize, p2: usize, p3: usize, k: i32, step: usize, lo: usize, split: bool): void {
  const zero = f32x4.splat(0);
  let i = 0;
  for (; i + 4 <= k; i += 4) {
    const off = <usize>i << 2;
    const r0 = p0 ? v128.load(p0 + off) : zero;
    const r1 = p1 ? v128.load(p1 + off) : zero;
    const r2 = p2 ? v128.load(p2 + off) : zero;
    const r3 = p3 ? v128.load(p3 + off) : zero;
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
  for (; i < k; i++, dst += step) {
    const off = <usize>i << 2;
    putScalar(dst, p0 ? load<f32>(p0 + off) : 0, lo, split);
    putScalar(dst + 4, p1 ? load<f32>(p1 + off) : 0, lo, split);
    putScalar(dst + 8, p2 ? load<f32>(p2 + off) : 0, lo, split);
    putScalar(dst + 12, p3 ? load<f32>(p3 + off) : 0, lo, split);
  }
}

/** A panel of `width` (4 or 8) rows of which `rows` exist, row r at src + r·rowStride bytes, k contiguous. */
export function packRows(dst: usize, src: usize, rowStride: usize, rows: i32, k: i32, width: i32, split: bool): void {
  const lo = <usize>width << 2;
  const step = split ? lo << 1 : lo;
  for (let g = 0; g < width; g += 4) {
    const p = src + <usize>g * rowStride;
    packFourRows(
      dst + (<usize>g << 2),
      g < rows ? p : 0,
      g + 1 < rows ? p + rowStride : 0,
      g + 2 < rows ? p + 2 * rowStride : 0,
      g + 3 < rows ? p + 3 * rowStride : 0,
      k, step, lo, split,
    );
  }
}

/** A panel of `width` columns of which `cols` exist: column c of row k at src + k·kStride + 4c bytes. */
export function packCols(dst: usize, src: usize, kStride: usize, cols: i32, k: i32, width: i32, split: bool): void {
  const lo = <usize>width << 2;
  const step = split ? lo << 1 : lo;
  if (cols >= width) {
    for (let i = 0; i < k; i++, dst += step, src += kStride) {
      put(dst, v128.load(src), lo, split);
      if (width == 8) put(dst + 16, v128.load(src + 16), lo, split);
    }
    return;
  }
  for (let i = 0; i < k; i++, dst += step, src += kStride) {
    for (let c = 0; c < width; c++) putScalar(dst + (<usize>c << 2), c < cols ? load<f32>(src + (<usize>c << 2)) : 0, lo, split);
  }
}
