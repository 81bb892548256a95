/**
 * C[m, n] = init + A[m, k] · B[k, n]: every dense product of the model, forward and backward.
 *
 * Order: each element of C is one accumulator, k ascending, starting from 0 (mode 0), from C (mode 1: this is what makes
 * a split of a batch into micro-batches invisible) or from bias[n] (mode 2). Operands are rounded when packed (rule 1).
 * A and B may lie either way round: of their two strides (in elements) at least one is 1.
 * Blocks over k go through C in f32, which is the accumulator itself, so blocking changes no bit.
 * bK = 0: B is what `pack_right` made of it (hosts/cpu.ts keeps weights so while they do not change).
 */
import { GROUP, packRows, packSideBySide } from "./pack";
import { NR, PANEL, panelBytes, tileEdge, tileRows } from "./tile";
import { barrier, shareEnd, sharedScratch, shareStart, threadCount, threadScratch } from "./parallel";

/** Inner elements a block: a right panel of 512 × 8 is 16 kB (32 kB split), a left one 10 kB: both stay in the first-level cache. */
export const KC: i32 = 512;
/** Panels a block of a right operand that is packed for one product: 1 MB (2 MB split), in scratch that threads share. */
const PANELS: i32 = 64;
/** Rows a block of a thread's own, a multiple of every tile's: 120 kB (240 kB split) stay in the second-level cache. */
const OWN_ROWS: i32 = 60;

export function matmul(
  c: usize, a: usize, b: usize, bias: usize,
  m: i32, n: i32, k: i32, aRow: i32, aK: i32, bK: i32, bCol: i32, ldc: i32, mode: i32, precision: i32,
): void {
  const split = precision == 24;
  const mr = tileRows(PANEL, split);
  const columns = (n + NR - 1) / NR;
  // Rows are shared where there are many, and where columns are too few; either way each element is one thread's.
  const byRow = m >= 6 * mr * threadCount() || columns < threadCount();
  const rowStart = byRow ? shareStart(m, mr) : 0;
  const rowEnd = byRow ? shareEnd(m, mr) : m;
  const packed = bK == 0;
  const shared = sharedScratch();
  // A packed operand is one block of columns.
  const step = packed ? columns : PANELS;
  for (let j0 = 0; j0 < columns; j0 += step) {
    const width = min(step, columns - j0);
    const from = byRow ? 0 : shareStart(width, 1);
    const to = byRow ? width : shareEnd(width, 1);
    if (mode == 2 || (mode == 0 && k == 0)) fillRows(c, bias, rowStart, rowEnd, (j0 + from) * NR, min(n, (j0 + to) * NR), ldc, mode);
    for (let k0 = 0; k0 < k; k0 += KC) {
      const kc = min(KC, k - k0);
      let panels = shared;
      if (packed) {
        panels = b + panelBytes(NR * columns, k0, split);
      } else {
        // Nobody packs where another still reads the block before: a panel's place depends on the block.
        if (j0 > 0 || k0 > 0) barrier();
        const packFrom = byRow ? shareStart(width, GROUP) : from;
        const packTo = byRow ? shareEnd(width, GROUP) : to;
        packPanels(panels, b, j0, packFrom, packTo, n, k0, kc, bK, bCol, split);
        if (byRow) barrier();
      }
      const loadC = mode != 0 || k0 > 0;
      for (let m0 = rowStart; m0 < rowEnd; m0 += OWN_ROWS) {
        const rows = min(OWN_ROWS, rowEnd - m0);
        packBlock(threadScratch(), a, m0, rows, aRow, aK, k0, kc, mr, split);
        tiles(c, m0, rows, j0, from, to, n, panels, kc, ldc, loadC, split);
      }
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
 * `count` rows of A or columns of B from `first` on, for a block of k: panels of `width`. One of them is `stride` elements
 * from the next, one k `kStride`; one of the two is 1.
 */
function packBlock(
  dst: usize, x: usize, first: i32, count: i32, stride: i32, kStride: i32, k0: i32, kc: i32, width: i32, split: bool,
): void {
  const panel = panelBytes(width, kc, split);
  const src = x + (<usize>(first * stride + k0 * kStride) << 2);
  const bytes = <usize>stride << 2;
  if (kStride == 1) {
    for (let i = 0; i < count; i += width, dst += panel) {
      packRows(dst, src + <usize>i * bytes, bytes, min(width, count - i), kc, width, split);
    }
  } else {
    packSideBySide(dst, panel, src, <usize>kStride << 2, count, kc, width, split);
  }
}

/** Panels from … to of the block of B that begins at panel j0. */
function packPanels(
  out: usize, b: usize, j0: i32, from: i32, to: i32, n: i32, k0: i32, kc: i32, bK: i32, bCol: i32, split: bool,
): void {
  const col = (j0 + from) * NR;
  const cols = min((to - from) * NR, n - col);
  packBlock(out + <usize>from * panelBytes(NR, kc, split), b, col, cols, bCol, bK, k0, kc, NR, split);
}

/** The packed rows times panels from … to. */
function tiles(
  c: usize, m0: i32, rows: i32, j0: i32, from: i32, to: i32, n: i32, panels: usize, kc: i32, ldc: i32, loadC: bool, split: bool,
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
    const col = (j0 + j) * NR;
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
  for (let k0 = 0; k0 < k; k0 += KC) {
    const block = out + panelBytes(NR * columns, k0, split);
    packPanels(block, b, 0, shareStart(columns, GROUP), shareEnd(columns, GROUP), n, k0, min(KC, k - k0), bK, bCol, split);
  }
}
