/**
 * C[m, n] = init + A[m, k] · B[k, n]: every dense product of the model, forward and backward.
 *
 * Order: each element of C is one accumulator, k ascending, starting from 0 (mode 0), from C (mode 1: this is what makes
 * a split of a batch into micro-batches invisible) or from bias[n] (mode 2). Operands are rounded when packed (rule 1).
 * A and B may lie either way round: of their two strides (in elements) at least one is 1.
 * Blocks over k go through C in f32, which is the accumulator itself, so blocking changes no bit.
 * bK = 0: B is what `pack_right` made of it (hosts/cpu.ts keeps weights so while they do not change).
 */
import { packCols, packRows } from "./pack";
import { NR, PANEL, panelBytes, tileEdge, tileRows } from "./tile";
import { barrier, shareEnd, sharedScratch, shareStart, threadCount, threadScratch } from "./parallel";

/** Inner elements a block: a right panel of 256 × 8 is 8 kB (16 kB split) and stays in the first-level cache. */
export const KC: i32 = 256;
/** Rows a block: the packed left block is 1 MB (2 MB split). */
export const MC: i32 = 1020;
/** Rows a block of a thread's own, where the right operand is packed already: 100 kB (200 kB split). */
const OWN_ROWS: i32 = 100;

export function matmul(
  c: usize, a: usize, b: usize, bias: usize,
  m: i32, n: i32, k: i32, aRow: i32, aK: i32, bK: i32, bCol: i32, ldc: i32, mode: i32, precision: i32,
): void {
  const split = precision == 24;
  if (bK == 0) {
    matmulPacked(c, a, b, bias, m, n, k, aRow, aK, ldc, mode, split);
    return;
  }
  const shared = sharedScratch();
  const own = threadScratch();
  const rowBytes = <usize>ldc << 2;
  const mr = tileRows(PANEL, split);
  const lo = <usize>mr << 2;
  if (mode == 2 || (mode == 0 && k == 0)) {
    const end = shareEnd(m, 1);
    for (let i = shareStart(m, 1); i < end; i++) {
      if (mode == 2) memory.copy(c + <usize>i * rowBytes, bias, <usize>n << 2);
      else memory.fill(c + <usize>i * rowBytes, 0, <usize>n << 2);
    }
    barrier();
  }
  const columns = (n + NR - 1) / NR;
  // Few columns and many rows (LoRA, small heads): share the rows instead. Either way each element is one thread's.
  const byColumn = columns >= 2 * threadCount();
  for (let k0 = 0; k0 < k; k0 += KC) {
    const kc = min(KC, k - k0);
    const loadC = mode != 0 || k0 > 0;
    const aPanel = panelBytes(mr, kc, split);
    for (let m0 = 0; m0 < m; m0 += MC) {
      const mc = min(MC, m - m0);
      const rowsOfTiles = (mc + mr - 1) / mr;
      if (k0 > 0 || m0 > 0) barrier();
      const packEnd = shareEnd(rowsOfTiles, 1);
      for (let t = shareStart(rowsOfTiles, 1); t < packEnd; t++) {
        const i = m0 + t * mr;
        const dst = shared + <usize>t * aPanel;
        const rows = min(mr, m - i);
        if (aK == 1) packRows(dst, a + (<usize>(i * aRow + k0) << 2), <usize>aRow << 2, rows, kc, mr, split);
        else packCols(dst, a + (<usize>(k0 * aK + i) << 2), <usize>aK << 2, rows, kc, mr, split);
      }
      barrier();
      const colStart = byColumn ? shareStart(columns, 1) : 0;
      const colEnd = byColumn ? shareEnd(columns, 1) : columns;
      const tileStart = byColumn ? 0 : shareStart(rowsOfTiles, 1);
      const tileEnd = byColumn ? rowsOfTiles : shareEnd(rowsOfTiles, 1);
      if (tileStart < tileEnd) {
        for (let j = colStart; j < colEnd; j++) {
          const col = j * NR;
          const cols = min(NR, n - col);
          if (bK == 1) packRows(own, b + (<usize>(col * bCol + k0) << 2), <usize>bCol << 2, cols, kc, NR, split);
          else packCols(own, b + (<usize>(k0 * bK + col) << 2), <usize>bK << 2, cols, kc, NR, split);
          const spare = own + panelBytes(NR, kc, split);
          let at = c + <usize>(m0 + tileStart * mr) * rowBytes + (<usize>col << 2);
          let panel = shared + <usize>tileStart * aPanel;
          for (let t = tileStart; t < tileEnd; t++, panel += aPanel) {
            tileEdge(PANEL, at, rowBytes, panel, lo, own, kc, loadC, split, min(mr, mc - t * mr), cols, spare);
            at += <usize>mr * rowBytes;
          }
        }
      }
    }
  }
}

/** Right panels of B, block of k by block of k: block k0 begins at k0 · columns · 8 floats (twice that when split). */
export function pack_right(out: usize, b: usize, n: i32, k: i32, bK: i32, bCol: i32, precision: i32): void {
  const split = precision == 24;
  const columns = (n + NR - 1) / NR;
  const end = shareEnd(columns, 1);
  for (let k0 = 0; k0 < k; k0 += KC) {
    const kc = min(KC, k - k0);
    const block = out + panelBytes(NR * columns, k0, split);
    for (let j = shareStart(columns, 1); j < end; j++) {
      const dst = block + panelBytes(NR * j, kc, split);
      const col = j * NR;
      const cols = min(NR, n - col);
      if (bK == 1) packRows(dst, b + (<usize>(col * bCol + k0) << 2), <usize>bCol << 2, cols, kc, NR, split);
      else packCols(dst, b + (<usize>(k0 * bK + col) << 2), <usize>bK << 2, cols, kc, NR, split);
    }
  }
}

/** Each thread packs the left rows that it needs itself: no barrier. */
function matmulPacked(
  c: usize, a: usize, b: usize, bias: usize, m: i32, n: i32, k: i32, aRow: i32, aK: i32, ldc: i32, mode: i32, split: bool,
): void {
  const own = threadScratch();
  const rowBytes = <usize>ldc << 2;
  const mr = tileRows(PANEL, split);
  const lo = <usize>mr << 2;
  const spare = own + panelBytes(OWN_ROWS, KC, split);
  const columns = (n + NR - 1) / NR;
  const byRow = m >= 6 * mr * threadCount() || columns < threadCount();
  const rowEnd = byRow ? shareEnd(m, mr) : m;
  const colStart = byRow ? 0 : shareStart(columns, 1);
  const colEnd = byRow ? columns : shareEnd(columns, 1);
  for (let m0 = byRow ? shareStart(m, mr) : 0; m0 < rowEnd; m0 += OWN_ROWS) {
    const mc = min(OWN_ROWS, rowEnd - m0);
    if (mode == 2) {
      const from = colStart * NR;
      const bytes = <usize>(min(n, colEnd * NR) - from) << 2;
      for (let i = m0; i < m0 + mc; i++) memory.copy(c + <usize>i * rowBytes + (<usize>from << 2), bias + (<usize>from << 2), bytes);
    }
    for (let k0 = 0; k0 < k; k0 += KC) {
      const kc = min(KC, k - k0);
      const loadC = mode != 0 || k0 > 0;
      const aPanel = panelBytes(mr, kc, split);
      for (let i = 0, dst = own; i < mc; i += mr, dst += aPanel) {
        const row = m0 + i;
        const rows = min(mr, mc - i);
        if (aK == 1) packRows(dst, a + (<usize>(row * aRow + k0) << 2), <usize>aRow << 2, rows, kc, mr, split);
        else packCols(dst, a + (<usize>(k0 * aK + row) << 2), <usize>aK << 2, rows, kc, mr, split);
      }
      let panel = b + panelBytes(NR * columns, k0, split) + panelBytes(NR * colStart, kc, split);
      for (let j = colStart; j < colEnd; j++, panel += panelBytes(NR, kc, split)) {
        const cols = min(NR, n - j * NR);
        let at = c + <usize>m0 * rowBytes + (<usize>(j * NR) << 2);
        for (let i = 0, left = own; i < mc; i += mr, left += aPanel) {
          tileEdge(PANEL, at, rowBytes, left, lo, panel, kc, loadC, split, min(mr, mc - i), cols, spare);
          at += <usize>mr * rowBytes;
        }
      }
    }
  }
}
