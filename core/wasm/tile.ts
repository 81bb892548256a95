/**
 * The micro-kernels all matrix products share: a tile of outputs, each one accumulator, k ascending (rule 2). With
 * precision 24 each k adds hi·hi, hi·lo, lo·hi in this order (left operand first).
 *
 * 5 × 8 outputs, their two right vectors, a left element and a product fill the fifteen registers that V8 gives out. One
 * k a turn: unrolled bodies are reordered by V8 until they spill (numbers: NOTES.md). The loops are written so that V8's code
 * holds nothing but loads, products, sums and the loop itself: pointers are `aligned`, and each offset of a broadcast is loaded
 * from once before the loop, for V8 (11.3 at least) else builds its address, memory's start plus the offset, in every turn.
 */
import { madd } from "./simd";

/** Rows of a tile with precision 12. */
export const MR: i32 = 5;
/** Rows of a tile with precision 24, and of one whose left operand lies by queries. */
export const MR4: i32 = 4;
export const NR: i32 = 8;
/** Bytes of scratch for a tile at an edge. */
export const SPARE_BYTES: usize = 192;

/** How a tile's left operand lies. */
/** [k][5], rounded. */
export const PANEL: i32 = 0;
/** [k][8], rounded; the tile's four rows begin at `a`. */
export const BY_QUERY: i32 = 1;
/** Rows of 8 k, rounded: [5][8]. */
export const ROWS_OF_8: i32 = 2;

/**
 * The pointer itself (they are multiples of four). V8 extends a 32-bit parameter to 64 bits at each use, the result of an
 * operation not at all: one instruction a turn less for each pointer.
 */
// @ts-ignore: decorator
@inline
function aligned(pointer: usize): usize {
  return pointer & ~3;
}

/** c[5 × 8] (row stride ldc bytes) = init + a·b; init is c itself when `loadC` is set, else 0. a: [k][5], b: [k][8]. */
export function tilePanel(c: usize, ldc: usize, a: usize, b: usize, k: i32, loadC: bool): void {
  a = aligned(a);
  b = aligned(b);
  v128.load_splat<f32>(a, 4); v128.load_splat<f32>(a, 8); v128.load_splat<f32>(a, 12); v128.load_splat<f32>(a, 16);
  let c00: v128, c01: v128, c10: v128, c11: v128, c20: v128, c21: v128, c30: v128, c31: v128, c40: v128, c41: v128;
  const r1 = c + ldc;
  const r2 = r1 + ldc;
  const r3 = r2 + ldc;
  const r4 = r3 + ldc;
  if (loadC) {
    c00 = v128.load(c); c01 = v128.load(c, 16);
    c10 = v128.load(r1); c11 = v128.load(r1, 16);
    c20 = v128.load(r2); c21 = v128.load(r2, 16);
    c30 = v128.load(r3); c31 = v128.load(r3, 16);
    c40 = v128.load(r4); c41 = v128.load(r4, 16);
  } else {
    c00 = c01 = c10 = c11 = c20 = c21 = c30 = c31 = c40 = c41 = f32x4.splat(0);
  }
  const end = b + (<usize>k << 5);
  while (b < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let s = v128.load_splat<f32>(a);
    c00 = madd(s, b0, c00); c01 = madd(s, b1, c01);
    s = v128.load_splat<f32>(a, 4);
    c10 = madd(s, b0, c10); c11 = madd(s, b1, c11);
    s = v128.load_splat<f32>(a, 8);
    c20 = madd(s, b0, c20); c21 = madd(s, b1, c21);
    s = v128.load_splat<f32>(a, 12);
    c30 = madd(s, b0, c30); c31 = madd(s, b1, c31);
    s = v128.load_splat<f32>(a, 16);
    c40 = madd(s, b0, c40); c41 = madd(s, b1, c41);
    a += 20;
    b += 32;
  }
  v128.store(c, c00); v128.store(c, c01, 16);
  v128.store(r1, c10); v128.store(r1, c11, 16);
  v128.store(r2, c20); v128.store(r2, c21, 16);
  v128.store(r3, c30); v128.store(r3, c31, 16);
  v128.store(r4, c40); v128.store(r4, c41, 16);
}

/** c[4 × 8] = init + a·b for a that lies [k][8]: four of the eight columns of attention's transposed weights. */
export function tileByQuery(c: usize, ldc: usize, a: usize, b: usize, k: i32, loadC: bool): void {
  a = aligned(a);
  b = aligned(b);
  v128.load_splat<f32>(a, 4); v128.load_splat<f32>(a, 8); v128.load_splat<f32>(a, 12);
  let c00: v128, c01: v128, c10: v128, c11: v128, c20: v128, c21: v128, c30: v128, c31: v128;
  const r1 = c + ldc;
  const r2 = r1 + ldc;
  const r3 = r2 + ldc;
  if (loadC) {
    c00 = v128.load(c); c01 = v128.load(c, 16);
    c10 = v128.load(r1); c11 = v128.load(r1, 16);
    c20 = v128.load(r2); c21 = v128.load(r2, 16);
    c30 = v128.load(r3); c31 = v128.load(r3, 16);
  } else {
    c00 = c01 = c10 = c11 = c20 = c21 = c30 = c31 = f32x4.splat(0);
  }
  const end = b + (<usize>k << 5);
  while (b < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let s = v128.load_splat<f32>(a);
    c00 = madd(s, b0, c00); c01 = madd(s, b1, c01);
    s = v128.load_splat<f32>(a, 4);
    c10 = madd(s, b0, c10); c11 = madd(s, b1, c11);
    s = v128.load_splat<f32>(a, 8);
    c20 = madd(s, b0, c20); c21 = madd(s, b1, c21);
    s = v128.load_splat<f32>(a, 12);
    c30 = madd(s, b0, c30); c31 = madd(s, b1, c31);
    a += 32;
    b += 32;
  }
  v128.store(c, c00); v128.store(c, c01, 16);
  v128.store(r1, c10); v128.store(r1, c11, 16);
  v128.store(r2, c20); v128.store(r2, c21, 16);
  v128.store(r3, c30); v128.store(r3, c31, 16);
}

/** c[5 × 8] = init + a·b for a that lies in rows of 8 k: attention's transposed weights, queries as the inner index. */
export function tileRowsOf8(c: usize, ldc: usize, a: usize, b: usize, k: i32, loadC: bool): void {
  a = aligned(a);
  b = aligned(b);
  v128.load_splat<f32>(a, 32); v128.load_splat<f32>(a, 64); v128.load_splat<f32>(a, 96); v128.load_splat<f32>(a, 128);
  let c00: v128, c01: v128, c10: v128, c11: v128, c20: v128, c21: v128, c30: v128, c31: v128, c40: v128, c41: v128;
  const r1 = c + ldc;
  const r2 = r1 + ldc;
  const r3 = r2 + ldc;
  const r4 = r3 + ldc;
  if (loadC) {
    c00 = v128.load(c); c01 = v128.load(c, 16);
    c10 = v128.load(r1); c11 = v128.load(r1, 16);
    c20 = v128.load(r2); c21 = v128.load(r2, 16);
    c30 = v128.load(r3); c31 = v128.load(r3, 16);
    c40 = v128.load(r4); c41 = v128.load(r4, 16);
  } else {
    c00 = c01 = c10 = c11 = c20 = c21 = c30 = c31 = c40 = c41 = f32x4.splat(0);
  }
  const end = b + (<usize>k << 5);
  while (b < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let s = v128.load_splat<f32>(a);
    c00 = madd(s, b0, c00); c01 = madd(s, b1, c01);
    s = v128.load_splat<f32>(a, 32);
    c10 = madd(s, b0, c10); c11 = madd(s, b1, c11);
    s = v128.load_splat<f32>(a, 64);
    c20 = madd(s, b0, c20); c21 = madd(s, b1, c21);
    s = v128.load_splat<f32>(a, 96);
    c30 = madd(s, b0, c30); c31 = madd(s, b1, c31);
    s = v128.load_splat<f32>(a, 128);
    c40 = madd(s, b0, c40); c41 = madd(s, b1, c41);
    a += 4;
    b += 32;
  }
  v128.store(c, c00); v128.store(c, c01, 16);
  v128.store(r1, c10); v128.store(r1, c11, 16);
  v128.store(r2, c20); v128.store(r2, c21, 16);
  v128.store(r3, c30); v128.store(r3, c31, 16);
  v128.store(r4, c40); v128.store(r4, c41, 16);
}

/** The element of row 0 … 3 (a literal) in all lanes; rows lie 4 bytes apart, or 32 (`byRows`, a literal). */
// @ts-ignore: decorator
@inline
function element(a: usize, row: i32, byRows: bool): v128 {
  if (row == 0) return v128.load_splat<f32>(a);
  if (row == 1) return byRows ? v128.load_splat<f32>(a, 32) : v128.load_splat<f32>(a, 4);
  if (row == 2) return byRows ? v128.load_splat<f32>(a, 64) : v128.load_splat<f32>(a, 8);
  return byRows ? v128.load_splat<f32>(a, 96) : v128.load_splat<f32>(a, 12);
}

/**
 * c[4 × 8] = init + a·b with precision 24: a's rows as `element` has them, the low halves `lo` bytes on; one k is 32 bytes
 * from the next, or 4 (`byRows`). b: [k][hi 8 | lo 8]. `swapped`: b is the left operand of the product that is meant, so
 * that its low half comes first.
 */
// @ts-ignore: decorator
@inline
function body24(c: usize, ldc: usize, a: usize, lo: usize, b: usize, k: i32, loadC: bool, byRows: bool, swapped: bool): void {
  a = aligned(a);
  b = aligned(b);
  let l = a + lo;
  element(a, 1, byRows); element(a, 2, byRows); element(a, 3, byRows);
  let c00: v128, c01: v128, c10: v128, c11: v128, c20: v128, c21: v128, c30: v128, c31: v128;
  const r1 = c + ldc;
  const r2 = r1 + ldc;
  const r3 = r2 + ldc;
  if (loadC) {
    c00 = v128.load(c); c01 = v128.load(c, 16);
    c10 = v128.load(r1); c11 = v128.load(r1, 16);
    c20 = v128.load(r2); c21 = v128.load(r2, 16);
    c30 = v128.load(r3); c31 = v128.load(r3, 16);
  } else {
    c00 = c01 = c10 = c11 = c20 = c21 = c30 = c31 = f32x4.splat(0);
  }
  const end = b + (<usize>k << 6);
  while (b < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const l0 = v128.load(b, 32);
    const l1 = v128.load(b, 48);
    let s = element(a, 0, byRows);
    c00 = madd(s, b0, c00); c01 = madd(s, b1, c01);
    if (!swapped) { c00 = madd(s, l0, c00); c01 = madd(s, l1, c01); }
    let t = element(l, 0, byRows);
    c00 = madd(t, b0, c00); c01 = madd(t, b1, c01);
    if (swapped) { c00 = madd(s, l0, c00); c01 = madd(s, l1, c01); }
    s = element(a, 1, byRows);
    c10 = madd(s, b0, c10); c11 = madd(s, b1, c11);
    if (!swapped) { c10 = madd(s, l0, c10); c11 = madd(s, l1, c11); }
    t = element(l, 1, byRows);
    c10 = madd(t, b0, c10); c11 = madd(t, b1, c11);
    if (swapped) { c10 = madd(s, l0, c10); c11 = madd(s, l1, c11); }
    s = element(a, 2, byRows);
    c20 = madd(s, b0, c20); c21 = madd(s, b1, c21);
    if (!swapped) { c20 = madd(s, l0, c20); c21 = madd(s, l1, c21); }
    t = element(l, 2, byRows);
    c20 = madd(t, b0, c20); c21 = madd(t, b1, c21);
    if (swapped) { c20 = madd(s, l0, c20); c21 = madd(s, l1, c21); }
    s = element(a, 3, byRows);
    c30 = madd(s, b0, c30); c31 = madd(s, b1, c31);
    if (!swapped) { c30 = madd(s, l0, c30); c31 = madd(s, l1, c31); }
    t = element(l, 3, byRows);
    c30 = madd(t, b0, c30); c31 = madd(t, b1, c31);
    if (swapped) { c30 = madd(s, l0, c30); c31 = madd(s, l1, c31); }
    const step: usize = byRows ? 4 : 32;
    a += step;
    l += step;
    b += 64;
  }
  v128.store(c, c00); v128.store(c, c01, 16);
  v128.store(r1, c10); v128.store(r1, c11, 16);
  v128.store(r2, c20); v128.store(r2, c21, 16);
  v128.store(r3, c30); v128.store(r3, c31, 16);
}

function tile24(c: usize, ldc: usize, a: usize, lo: usize, b: usize, k: i32, loadC: bool): void {
  body24(c, ldc, a, lo, b, k, loadC, false, false);
}

function tile24RowsOf8(c: usize, ldc: usize, a: usize, lo: usize, b: usize, k: i32, loadC: bool): void {
  body24(c, ldc, a, lo, b, k, loadC, true, false);
}

function tile24Swapped(c: usize, ldc: usize, a: usize, lo: usize, b: usize, k: i32): void {
  body24(c, ldc, a, lo, b, k, false, false, true);
}

/** c[rows × 8] = (right panel · left panel)ᵀ: a whole tile of a product whose left operand lies in `b`. */
// @ts-ignore: decorator
@inline
export function tileTransposed(c: usize, ldc: usize, a: usize, lo: usize, b: usize, k: i32, split: bool): void {
  if (split) tile24Swapped(c, ldc, a, lo, b, k);
  else tilePanel(c, ldc, a, b, k, false);
}

/** Rows of a tile whose left operand lies so. */
// @ts-ignore: decorator
@inline
export function tileRows(kind: i32, split: bool): i32 {
  return split || kind == BY_QUERY ? MR4 : MR;
}

/** Bytes of a packed panel of `width` rows and k inner elements. */
// @ts-ignore: decorator
@inline
export function panelBytes(width: i32, k: i32, split: bool): usize {
  return <usize>(width * k) << (split ? 3 : 2);
}

/** A whole tile; `kind` is a literal. With precision 24, `lo` = bytes from a high half of a to its low one. */
// @ts-ignore: decorator
@inline
export function tile(kind: i32, c: usize, ldc: usize, a: usize, lo: usize, b: usize, k: i32, loadC: bool, split: bool): void {
  if (split) {
    if (kind == ROWS_OF_8) tile24RowsOf8(c, ldc, a, lo, b, k, loadC);
    else tile24(c, ldc, a, lo, b, k, loadC);
  } else if (kind == PANEL) tilePanel(c, ldc, a, b, k, loadC);
  else if (kind == BY_QUERY) tileByQuery(c, ldc, a, b, k, loadC);
  else tileRowsOf8(c, ldc, a, b, k, loadC);
}

/** A tile of which only rows × cols exist in c; `spare` is SPARE_BYTES of scratch. */
// @ts-ignore: decorator
@inline
export function tileEdge(
  kind: i32, c: usize, ldc: usize, a: usize, lo: usize, b: usize, k: i32, loadC: bool, split: bool, rows: i32, cols: i32, spare: usize,
): void {
  if (rows == tileRows(kind, split) && cols == NR) {
    tile(kind, c, ldc, a, lo, b, k, loadC, split);
    return;
  }
  if (loadC) copyTile(spare, 32, c, ldc, rows, cols);
  tile(kind, spare, 32, a, lo, b, k, loadC, split);
  copyTile(c, ldc, spare, 32, rows, cols);
}

function copyTile(to: usize, toStep: usize, from: usize, fromStep: usize, rows: i32, cols: i32): void {
  const bytes = <usize>cols << 2;
  for (let r = 0; r < rows; r++, to += toStep, from += fromStep) {
    let i: usize = 0;
    for (; i + 16 <= bytes; i += 16) v128.store(to + i, v128.load(from + i));
    for (; i < bytes; i += 4) store<u32>(to + i, load<u32>(from + i));
  }
}
