/**
 * C[m, n] = init + A[m, k] · B[k, n]: every dense product of the model, forward and backward.
 *
 * Order: each element of C is one accumulator, k ascending, starting from 0 (mode 0), from C (mode 1: this is what makes
 * a split of a batch into micro-batches invisible) or from bias[n] (mode 2). Operands are rounded when packed (rule 1).
 * A and B may lie either way round: of their two strides (in elements) at least one is 1.
 * Blocks over k go through C in f32, which is the accumulator itself, so blocking changes no bit.
 * Here B is what `pack_right` made of it: hosts/cpu.ts packs it before, whole where it keeps it, else a block of the
 * product at a time.
 */
import { BAND, packRows, packSideBySide } from "./pack";
import { NR, PANEL, panelBytes, tileEdge, tileRows } from "./tile";
import { shareEnd, shareStart, sliceCount, threadScratch } from "./parallel";

/** Inner elements a block: a right panel of 512 × 8 is 16 kB (32 kB split), a left one 10 kB: both stay in the first-level cache. */
export const KC: i32 = 512;
/** Rows a block of a thread's own, a multiple of every tile's: 120 kB (240 kB split) stay in the second-level cache. */
const OWN_ROWS: i32 = 60;

export function matmul(
  c: usize, a: usize, b: usize, bias: usize,
  m: i32, n: i32, k: i32, aRow: i32, aK: i32, bK: i32, bCol: i32, ldc: i32, mode: i32, precision: i32,
): void {
  const split = precision == 24;
  const mr = tileRows(PANEL, split);
  const columns = (n + NR - 1) / NR;
  // A slice is of rows where there are many, else of columns.
  const byRow = m >= 2 * mr * sliceCount() || columns < sliceCount();
  const rowStart = byRow ? shareStart(m, mr) : 0;
  const rowEnd = byRow ? shareEnd(m, mr) : m;
  const from = byRow ? 0 : shareStart(columns, 1);
  const to = byRow ? columns : shareEnd(columns, 1);
  if (rowStart == rowEnd || from == to) return;
  if (mode == 2 || (mode == 0 && k == 0)) fillRows(c, bias, rowStart, rowEnd, from * NR, min(n, to * NR), ldc, mode);
  // Blocks of rows as alike as they come.
  const blocks = (rowEnd - rowStart + OWN_ROWS - 1) / OWN_ROWS;
  const step = ((rowEnd - rowStart + blocks * mr - 1) / (blocks * mr)) * mr;
  for (let k0 = 0; k0 < k; k0 += KC) {
    const kc = min(KC, k - k0);
    const panels = b + panelBytes(NR * columns, k0, split);
    const loadC = mode != 0 || k0 > 0;
    for (let m0 = rowStart; m0 < rowEnd; m0 += step) {
      const rows = min(step, rowEnd - m0);
      const src = a + (<usize>(m0 * aRow + k0 * aK) << 2);
      packBlock(threadScratch(), panelBytes(mr, kc, split), src, rows, aRow, aK, kc, mr, split);
      tiles(c, m0, rows, from, to, n, panels, kc, ldc, loadC, split);
    }
  }
}

/** Columns from … to of the rows: the bias (mode 2), or zeros. */
function fillRows(c: usize, bias: usize, rowStart: i32, rowEnd: i32, from: i32, to: i32, ldc: i32, mode: i32): void {
  const bytes = <usize>(to - from) << 2;
  for (let i = rowStart; i < rowEnd; i++) {
    const at = c + (<usize>(i * ldc + from) << 2);
    if (mode == 2) memory.copy(at, bias + (<usize>from << 2), bytes);
    else memory.fill(at, 0, bytes);
  }
}

/**
 * `count` rows of A or columns of B into panels of `width`, `panel` bytes apart, for k inner elements. One of them is
 * `stride` elements from the next, one k `kStride`; one of the two is 1.
 */
function packBlock(
  dst: usize, panel: usize, src: usize, count: i32, stride: i32, kStride: i32, k: i32, width: i32, split: bool,
): void {
  const bytes = <usize>stride << 2;
  if (kStride == 1) {
    for (let i = 0; i < count; i += width, dst += panel) {
      packRows(dst, src + <usize>i * bytes, bytes, min(width, count - i), k, width, split);
    }
  } else {
    packSideBySide(dst, panel, src, <usize>kStride << 2, count, k, width, split);
  }
}

/** The packed rows times panels from … to. */
function tiles(
  c: usize, m0: i32, rows: i32, from: i32, to: i32, n: i32, panels: usize, kc: i32, ldc: i32, loadC: bool, split: bool,
): void {
  const own = threadScratch();
  const spare = own + panelBytes(OWN_ROWS, KC, split);
  const mr = tileRows(PANEL, split);
  const lo = <usize>mr << 2;
  const rowBytes = <usize>ldc << 2;
  const left = panelBytes(mr, kc, split);
  const right = panelBytes(NR, kc, split);
  let panel = panels + <usize>from * right;
  for (let j = from; j < to; j++, panel += right) {
    const col = j * NR;
    const cols = min(NR, n - col);
    let at = c + <usize>m0 * rowBytes + (<usize>col << 2);
    for (let i = 0, l = own; i < rows; i += mr, l += left) {
      tileEdge(PANEL, at, rowBytes, l, lo, panel, kc, loadC, split, min(mr, rows - i), cols, spare);
      at += <usize>mr * rowBytes;
    }
  }
}

/** Right panels of B, block of k by block of k: block k0 begins at k0 · columns · 8 floats (twice that when split). */
export function pack_right(out: usize, b: usize, n: i32, k: i32, bK: i32, bCol: i32, precision: i32): void {
  const split = precision == 24;
  const columns = (n + NR - 1) / NR;
  // A slice is of whole panels where k is contiguous, else of k, so that it reads along B's rows.
  const byPanel = bK == 1;
  const from = byPanel ? shareStart(columns, 1) : 0;
  const to = byPanel ? shareEnd(columns, 1) : columns;
  const first = byPanel ? 0 : shareStart(k, BAND);
  const last = byPanel ? k : shareEnd(k, BAND);
  if (from == to) return;
  const cols = min((to - from) * NR, n - from * NR);
  for (let at = first; at < last; ) {
    const k0 = at - (at % KC);
    const kc = min(KC, k - k0);
    const block = out + panelBytes(NR * columns, k0, split) + <usize>from * panelBytes(NR, kc, split);
    const end = min(last, k0 + kc);
    const src = b + (<usize>(from * NR * bCol + at * bK) << 2);
    const dst = block + panelBytes(NR, at - k0, split);
    packBlock(dst, panelBytes(NR, kc, split), src, cols, bCol, bK, end - at, NR, split);
    at = end;
  }
}
