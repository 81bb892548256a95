/**
 * The micro-kernel all matrix products share: a tile of 4 × 8 outputs, each one accumulator, k ascending (rule 2).
 * With precision 24 each k adds hi·hi, hi·lo, lo·hi in this order (left operand first).
 */
import { madd } from "./simd";

export const MR: i32 = 4;
export const NR: i32 = 8;

// @ts-ignore: decorator
@inline
function splat(at: usize): v128 {
  return v128.load_splat<f32>(at);
}

/** c[4 × 8] (row stride ldc bytes) = init + a·b; init is c itself when `load` is set, else 0. a: [k][4], b: [k][8]. */
export function tile12(c: usize, ldc: usize, a: usize, b: usize, k: i32, loadC: bool): void {
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
  const end = a + (<usize>k << 4);
  const pairs = a + (<usize>(k & ~1) << 4);
  while (a < pairs) {
    let b0 = v128.load(b);
    let b1 = v128.load(b, 16);
    let s = splat(a);
    c00 = madd(s, b0, c00); c01 = madd(s, b1, c01);
    s = splat(a + 4);
    c10 = madd(s, b0, c10); c11 = madd(s, b1, c11);
    s = splat(a + 8);
    c20 = madd(s, b0, c20); c21 = madd(s, b1, c21);
    s = splat(a + 12);
    c30 = madd(s, b0, c30); c31 = madd(s, b1, c31);
    b0 = v128.load(b, 32);
    b1 = v128.load(b, 48);
    s = splat(a + 16);
    c00 = madd(s, b0, c00); c01 = madd(s, b1, c01);
    s = splat(a + 20);
    c10 = madd(s, b0, c10); c11 = madd(s, b1, c11);
    s = splat(a + 24);
    c20 = madd(s, b0, c20); c21 = madd(s, b1, c21);
    s = splat(a + 28);
    c30 = madd(s, b0, c30); c31 = madd(s, b1, c31);
    a += 32;
    b += 64;
  }
  if (a < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let s = splat(a);
    c00 = madd(s, b0, c00); c01 = madd(s, b1, c01);
    s = splat(a + 4);
    c10 = madd(s, b0, c10); c11 = madd(s, b1, c11);
    s = splat(a + 8);
    c20 = madd(s, b0, c20); c21 = madd(s, b1, c21);
    s = splat(a + 12);
    c30 = madd(s, b0, c30); c31 = madd(s, b1, c31);
  }
  v128.store(c, c00); v128.store(c, c01, 16);
  v128.store(r1, c10); v128.store(r1, c11, 16);
  v128.store(r2, c20); v128.store(r2, c21, 16);
  v128.store(r3, c30); v128.store(r3, c31, 16);
}

/** The same with both operands split: a: [k][hi 4 | lo 4], b: [k][hi 8 | lo 8]. */
export function tile24(c: usize, ldc: usize, a: usize, b: usize, k: i32, loadC: bool): void {
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
  const end = a + (<usize>k << 5);
  while (a < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const l0 = v128.load(b, 32);
    const l1 = v128.load(b, 48);
    let s = splat(a);
    c00 = madd(s, b0, c00); c01 = madd(s, b1, c01);
    c00 = madd(s, l0, c00); c01 = madd(s, l1, c01);
    s = splat(a + 16);
    c00 = madd(s, b0, c00); c01 = madd(s, b1, c01);
    s = splat(a + 4);
    c10 = madd(s, b0, c10); c11 = madd(s, b1, c11);
    c10 = madd(s, l0, c10); c11 = madd(s, l1, c11);
    s = splat(a + 20);
    c10 = madd(s, b0, c10); c11 = madd(s, b1, c11);
    s = splat(a + 8);
    c20 = madd(s, b0, c20); c21 = madd(s, b1, c21);
    c20 = madd(s, l0, c20); c21 = madd(s, l1, c21);
    s = splat(a + 24);
    c20 = madd(s, b0, c20); c21 = madd(s, b1, c21);
    s = splat(a + 12);
    c30 = madd(s, b0, c30); c31 = madd(s, b1, c31);
    c30 = madd(s, l0, c30); c31 = madd(s, l1, c31);
    s = splat(a + 28);
    c30 = madd(s, b0, c30); c31 = madd(s, b1, c31);
    a += 32;
    b += 64;
  }
  v128.store(c, c00); v128.store(c, c01, 16);
  v128.store(r1, c10); v128.store(r1, c11, 16);
  v128.store(r2, c20); v128.store(r2, c21, 16);
  v128.store(r3, c30); v128.store(r3, c31, 16);
}

/**
 * tile12 with a left operand that lies unpacked, rounded already: element (row r, inner k) at a + r·rowStep + k·kStep
 * bytes. Attention's weights are used from where they were computed, both as they lie and transposed.
 */
export function tileStrided(c: usize, ldc: usize, a: usize, rowStep: usize, kStep: usize, b: usize, k: i32, loadC: bool): void {
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
  let a1 = a + rowStep;
  let a2 = a1 + rowStep;
  let a3 = a2 + rowStep;
  const end = b + (<usize>k << 5);
  while (b < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let s = splat(a);
    c00 = madd(s, b0, c00); c01 = madd(s, b1, c01);
    s = splat(a1);
    c10 = madd(s, b0, c10); c11 = madd(s, b1, c11);
    s = splat(a2);
    c20 = madd(s, b0, c20); c21 = madd(s, b1, c21);
    s = splat(a3);
    c30 = madd(s, b0, c30); c31 = madd(s, b1, c31);
    a += kStep;
    a1 += kStep;
    a2 += kStep;
    a3 += kStep;
    b += 32;
  }
  v128.store(c, c00); v128.store(c, c01, 16);
  v128.store(r1, c10); v128.store(r1, c11, 16);
  v128.store(r2, c20); v128.store(r2, c21, 16);
  v128.store(r3, c30); v128.store(r3, c31, 16);
}

/** tileStrided at an edge: only rows × cols of the tile exist in c; `spare` is 128 bytes of scratch. */
export function tileStridedEdge(
  c: usize, ldc: usize, a: usize, rowStep: usize, kStep: usize, b: usize, k: i32, loadC: bool, rows: i32, cols: i32, spare: usize,
): void {
  if (rows == MR && cols == NR) {
    tileStrided(c, ldc, a, rowStep, kStep, b, k, loadC);
    return;
  }
  if (loadC) {
    memory.fill(spare, 0, 128);
    for (let r = 0; r < rows; r++) memory.copy(spare + (<usize>r << 5), c + <usize>r * ldc, <usize>cols << 2);
  }
  tileStrided(spare, 32, a, rowStep, kStep, b, k, loadC);
  for (let r = 0; r < rows; r++) memory.copy(c + <usize>r * ldc, spare + (<usize>r << 5), <usize>cols << 2);
}

/** Bytes of a packed panel of `width` rows and k inner elements. */
// @ts-ignore: decorator
@inline
export function panelBytes(width: i32, k: i32, split: bool): usize {
  return <usize>(width * k) << (split ? 3 : 2);
}

// @ts-ignore: decorator
@inline
export function tile(c: usize, ldc: usize, a: usize, b: usize, k: i32, loadC: bool, split: bool): void {
  if (split) tile24(c, ldc, a, b, k, loadC);
  else tile12(c, ldc, a, b, k, loadC);
}

/** A tile at an edge: only rows × cols of it exist in c; `spare` is 128 bytes of scratch. */
export function tileEdge(c: usize, ldc: usize, a: usize, b: usize, k: i32, loadC: bool, split: bool, rows: i32, cols: i32, spare: usize): void {
  if (loadC) {
    memory.fill(spare, 0, 128);
    for (let r = 0; r < rows; r++) memory.copy(spare + (<usize>r << 5), c + <usize>r * ldc, <usize>cols << 2);
  }
  tile(spare, 32, a, b, k, loadC, split);
  for (let r = 0; r < rows; r++) memory.copy(c + <usize>r * ldc, spare + (<usize>r << 5), <usize>cols << 2);
}
