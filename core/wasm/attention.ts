/**
 * Causal grouped-query attention over packed ragged sequences, with or without a cache (rule 3).
 *
 * Query i of a sequence sees keys 0 … i and nothing else, and its result is a function of q_i and those keys alone: the
 * same bits in a prefill, in training, in decoding with a cache, whatever else is in the batch. Eight queries at a time
 * meet all keys of the last of them; entries above the diagonal have weight +0, which changes no bit. Scores lie
 * transposed, [key][8 queries]: a block of them stays in the first-level cache, a lane is a query in the softmax, and
 * the weights are the left operand of the next product from where they were computed. No T × T buffer.
 *
 *   s_ij = (q_i·scale) · k_j      d ascending;  both operands rounded (rule 1)
 *   m_i = max_j s_ij,  e_ij = exp(s_ij − m_i),  l_i = Σ64 e_ij,  r_i = 1/l_i
 *   o_i = (Σ_j e_ij v_j) · r_i    j ascending;  e, v rounded
 * Backward: p_ij = e_ij · r_i,  D_i = Σ64 dO·O,  dP_ij = dO_i · v_j,  dS_ij = p_ij (dP_ij − D_i)
 *   dQ_i = scale · Σ_j dS_ij k_j (j ascending);  dK_j = Σ dS_ij (q_i·scale),  dV_j = Σ p_ij dO_i  (heads of the group
 *   ascending, then i ascending, one accumulator).
 *
 * `table` holds six words a sequence: first query row, queries, first key row of segment 0, keys of segment 0, first key
 * row of segment 1, keys of segment 1 (`maxKeys`: the most keys any of them has). The keys are segment 0 (a prompt that several sequences may share) then segment 1;
 * the queries are the last ones of the sequence. Statistics kept for backward: m and r for each (row, head).
 */
import { exp4, expRow, rcp1, rcp4 } from "./elementary";
import { packCols, packRows } from "./pack";
import { LANES_BYTES, lanesClear, lanesTree } from "./reduce";
import { bits12, flush, flushScalar, half12, madd, magnitude, round12, round12By, round12Scalar, tiniest, TINY } from "./simd";
import { BY_QUERY, NR, PANEL, panelBytes, ROWS_OF_8, SPARE_BYTES, tileEdge, tileRows, tileTransposed } from "./tile";
import { shareEnd, shareStart, sliceCount, threadScratch } from "./parallel";

/** Queries a block, and bytes of a key's row of them. */
const QB: i32 = 8;
const ROW: usize = 32;
/** Bytes of the 64 lanes of a block's sums. */
const BLOCK_LANES: usize = 64 * ROW;

// @ts-ignore: decorator
@inline
function up(n: i32, to: i32): i32 {
  return ((n + to - 1) / to) * to;
}

// @ts-ignore: decorator
@inline
function keyRow(k: usize, j: i32, n0: i32, at0: i32, at1: i32, stride: usize): usize {
  return k + <usize>(j < n0 ? at0 + j : at1 + j - n0) * stride;
}

/** Left panels [d][5 keys] (4 with precision 24) of keys 0 … n−1 from a row-major k with `stride` bytes a row. */
function packKeys(dst: usize, k: usize, stride: usize, at0: i32, n0: i32, at1: i32, n: i32, dim: i32, split: bool): void {
  const width = tileRows(PANEL, split);
  const panel = panelBytes(width, dim, split);
  for (let j = 0; j < n; j += width, dst += panel) {
    const rows = min(width, n - j);
    if (j + rows <= n0 || j >= n0) {
      packRows(dst, keyRow(k, j, n0, at0, at1, stride), stride, rows, dim, width, split);
    } else {
      // Its rows come from both segments: gathered first.
      const one = threadScratch();
      const bytes = <usize>dim << 2;
      for (let r = 0; r < rows; r++) memory.copy(one + <usize>r * bytes, keyRow(k, j + r, n0, at0, at1, stride), bytes);
      packRows(dst, one, bytes, rows, dim, width, split);
    }
  }
}

/** Right panels [n keys][8 dims] of values, one panel each 8 dims. */
function packValues(dst: usize, v: usize, stride: usize, at0: i32, n0: i32, at1: i32, n: i32, dim: i32, split: bool): void {
  const panel = panelBytes(NR, n, split);
  const first = min(n0, n);
  for (let d = 0; d < dim; d += NR, dst += panel) {
    const cols = min(NR, dim - d);
    const off = <usize>d << 2;
    if (first > 0) packCols(dst, v + <usize>at0 * stride + off, stride, cols, first, NR, split);
    if (n > first) packCols(dst + panelBytes(NR, first, split), v + <usize>at1 * stride + off, stride, cols, n - first, NR, split);
  }
}

/** `rows` (≤ 8) rows of x at `stride`, times s, one after the other. */
function scaleRows(dst: usize, x: usize, stride: usize, rows: i32, dim: i32, s: f32): void {
  const s4 = f32x4.splat(s);
  const bytes = <usize>dim << 2;
  for (let r = 0; r < rows; r++, x += stride, dst += bytes) {
    let d: usize = 0;
    for (; d + 16 <= bytes; d += 16) v128.store(dst + d, f32x4.mul(flush(v128.load(x + d), TINY), s4));
    for (; d < bytes; d += 4) store<f32>(dst + d, flushScalar(load<f32>(x + d), TINY) * s);
  }
}

/**
 * s[n keys × 8] = (q · kᵀ)ᵀ from left panels of keys and a right panel of queries, both packed over `dim`; rows up to the
 * tile's end are written too.
 */
function product(s: usize, left: usize, right: usize, n: i32, dim: i32, split: bool): void {
  const width = tileRows(PANEL, split);
  const panel = panelBytes(width, dim, split);
  for (let j = 0; j < n; j += width, left += panel, s += ROW * <usize>width) {
    tileTransposed(s, ROW, left, <usize>width << 2, right, dim, split);
  }
}

/** Lanes (queries) `first` … first + 3 that see a key: those ≥ `from`. */
// @ts-ignore: decorator
@inline
function seeing(first: i32, from: i32): v128 {
  return i32x4.gt_s(i32x4.add(i32x4(0, 1, 2, 3), i32x4.splat(first)), i32x4.splat(from - 1));
}

/** Writes a weight as the products want it: rounded, or with precision 24 as two halves `lo` bytes apart. */
// @ts-ignore: decorator
@inline
function putWeight(at: usize, w: v128, lo: usize, split: bool): void {
  const hi = round12(w);
  v128.store(at, hi);
  if (split) v128.store(at + lo, round12(f32x4.sub(w, hi)));
}

/**
 * Scores s[seenByLast × 8] → rounded weights e; query i sees keys < seenByFirst + i. The most of each query goes to
 * `stats`, 1/Σ64 e 32 bytes on.
 */
function softmax(s: usize, seenByFirst: i32, seenByLast: i32, lanes: usize, stats: usize, lo: usize, split: bool): void {
  let m0 = v128.load(s);
  let m1 = v128.load(s, 16);
  const shared = s + <usize>seenByFirst * ROW;
  let at = s + ROW;
  for (; at < shared; at += ROW) {
    m0 = f32x4.pmax(m0, v128.load(at));
    m1 = f32x4.pmax(m1, v128.load(at, 16));
  }
  for (let j = seenByFirst; j < seenByLast; j++, at += ROW) {
    m0 = f32x4.pmax(m0, v128.bitselect(v128.load(at), m0, seeing(0, j - seenByFirst + 1)));
    m1 = f32x4.pmax(m1, v128.bitselect(v128.load(at, 16), m1, seeing(4, j - seenByFirst + 1)));
  }
  v128.store(stats, m0);
  v128.store(stats, m1, 16);
  expRow(s, s, <usize>seenByFirst * ROW, stats);
  at = s;
  // Lane l of a query's 64 takes keys l, l + 64, …: the first round stores, later ones add.
  for (let j = 0; j < seenByFirst; j++, at += ROW) {
    const e0 = v128.load(at);
    const e1 = v128.load(at, 16);
    intoLanes(lanes, j, e0, e1);
    putWeight(at, e0, lo, split);
    putWeight(at + 16, e1, lo, split);
  }
  for (let j = seenByFirst; j < seenByLast; j++, at += ROW) {
    const e0 = v128.and(exp4(f32x4.sub(v128.load(at), m0)), seeing(0, j - seenByFirst + 1));
    const e1 = v128.and(exp4(f32x4.sub(v128.load(at, 16), m1)), seeing(4, j - seenByFirst + 1));
    intoLanes(lanes, j, e0, e1);
    putWeight(at, e0, lo, split);
    putWeight(at + 16, e1, lo, split);
  }
  // The halving tree; lanes past the keys are +0 and change nothing.
  const used = min(64, seenByLast);
  let half = 32;
  while (half >= used && half > 1) half >>= 1;
  for (let j = used; j < 2 * half; j++) {
    v128.store(lanes + <usize>j * ROW, f32x4.splat(0));
    v128.store(lanes + <usize>j * ROW, f32x4.splat(0), 16);
  }
  for (; half > 0; half >>= 1) {
    const over = <usize>half * ROW;
    for (let o: usize = 0; o < over; o += 16) v128.store(lanes + o, f32x4.add(v128.load(lanes + o), v128.load(lanes + over + o)));
  }
  v128.store(stats, rcp4(v128.load(lanes)), 32);
  v128.store(stats, rcp4(v128.load(lanes, 16)), 48);
}

// @ts-ignore: decorator
@inline
function intoLanes(lanes: usize, j: i32, e0: v128, e1: v128): void {
  const lane = lanes + <usize>(j & 63) * ROW;
  if (j < 64) {
    v128.store(lane, e0);
    v128.store(lane, e1, 16);
  } else {
    v128.store(lane, f32x4.add(v128.load(lane), e0));
    v128.store(lane, f32x4.add(v128.load(lane, 16), e1), 16);
  }
}

/** out[rows × dim] = (weights of the block · right panels [keys][8 dims]) · scales[row]; query i has weights of its keys alone. */
function weigh(
  out: usize, stride: usize, weights: usize, lo: usize, right: usize, panel: usize, rows: i32, seenByFirst: i32, dim: i32,
  scales: usize, scaleStep: usize, split: bool, spare: usize,
): void {
  for (let r = 0; r < rows; r += 4) {
    const n = min(4, rows - r);
    const seen = seenByFirst + r + n - 1;
    const o = out + <usize>r * stride;
    let b = right;
    for (let d = 0; d < dim; d += NR, b += panel) {
      tileEdge(BY_QUERY, o + (<usize>d << 2), stride, weights + (<usize>r << 2), lo, b, seen, false, split, n, min(NR, dim - d), spare);
    }
  }
  for (let r = 0; r < rows; r++) multiplyRow(out + <usize>r * stride, dim, load<f32>(scales + <usize>r * scaleStep));
}

/** Scratch of one thread, in the order below; hosts/cpu.ts asks for it through `attention_scratch`. */
export function attention_scratch(keys: i32, heads: i32, dim: i32, precision: i32): usize {
  const split = precision == 24;
  const n = up(keys, 40);
  const d = up(dim, NR);
  return (
    (<usize>d << 5) + LANES_BYTES + SPARE_BYTES + BLOCK_LANES + 256 + // rows, lanes, spare tile, lanes of a block, statistics
    4 * panelBytes(d, n, split) + // keys and values as left panels, both as right panels
    4 * panelBytes(d, QB, split) + // q and dO, by dim and by row
    2 * panelBytes(QB, n, split) + // weights, slopes
    (<usize>(heads * (n + 16 + 2 * d)) << 2) + // decoding: scores, queries and sums of all heads
    4096
  );
}

export function attention_fwd(
  out: usize, stats: usize, q: usize, k: usize, v: usize, table: usize,
  sequences: i32, heads: i32, kvHeads: i32, dim: i32, maxKeys: i32, precision: i32, scale: f32,
): void {
  attention_kept(out, stats, q, k, v, 0, 0, table, sequences, heads, kvHeads, dim, maxKeys, precision, scale);
}

/** attention_fwd where the cache is kept in a second form too (0: it is not); decoding reads that one. */
export function attention_kept(
  out: usize, stats: usize, q: usize, k: usize, v: usize, keptKeys: usize, keptValues: usize, table: usize,
  sequences: i32, heads: i32, kvHeads: i32, dim: i32, maxKeys: i32, precision: i32, scale: f32,
): void {
  const split = precision == 24;
  const group = heads / kvHeads;
  const qStride = <usize>(heads * dim) << 2;
  const kStride = <usize>(kvHeads * dim) << 2;
  // All heads of a sequence at once where that leaves every slice one, so that its cache is read as it lies.
  const span = keptKeys != 0 && sequences >= sliceCount() ? kvHeads : 1;
  const parts = kvHeads / span;
  const end = shareEnd(sequences * parts, 1);
  for (let t = shareStart(sequences * parts, 1); t < end; t++) {
    const entry = table + <usize>(t / parts) * 24;
    const qStart = load<i32>(entry);
    const queries = load<i32>(entry, 4);
    const at0 = load<i32>(entry, 8);
    const n0 = load<i32>(entry, 12);
    const at1 = load<i32>(entry, 16);
    const keys = n0 + load<i32>(entry, 20);
    if (queries == 0) continue;
    const first = t % parts;
    if (queries == 1 && !split) {
      // The second form lies in blocks of eight rows: a segment has to begin with one.
      const kept = keptKeys != 0 && ((n0 == 0 ? 0 : at0) & 7) == 0 && (at1 & 7) == 0;
      if (kept) decode(out, stats, q, keptKeys, keptValues, qStart, at0, n0, at1, keys, heads, kvHeads, dim, first, span, scale, true);
      else decode(out, stats, q, k, v, qStart, at0, n0, at1, keys, heads, kvHeads, dim, first, span, scale, false);
      continue;
    }
    for (let kvHead = first; kvHead < first + span; kvHead++) {
      const padded = up(keys, 40);
      const dimUp = up(dim, NR);
      const scaled = threadScratch();
      const spare = scaled + (<usize>dimUp << 5);
      const lanes = spare + SPARE_BYTES;
      const block = lanes + BLOCK_LANES;
      const kLeft = block + 256;
      const vRight = kLeft + panelBytes(dimUp, padded, split);
      const qRight = vRight + panelBytes(dimUp, padded, split);
      const weights = qRight + panelBytes(dimUp, QB, split);
      const lo = <usize>padded * ROW;
      const headOffset = <usize>(kvHead * dim) << 2;
      const valuePanel = panelBytes(NR, keys, split);
      packKeys(kLeft, k + headOffset, kStride, at0, n0, at1, keys, dim, split);
      packValues(vRight, v + headOffset, kStride, at0, n0, at1, keys, dim, split);
      for (let g = 0; g < group; g++) {
        const head = kvHead * group + g;
        const offset = <usize>(head * dim) << 2;
        for (let i0 = 0; i0 < queries; i0 += QB) {
          const rows = min(QB, queries - i0);
          const seenByFirst = keys - queries + i0 + 1;
          const seenByLast = seenByFirst + rows - 1;
          const row0 = <usize>(qStart + i0);
          scaleRows(scaled, q + row0 * qStride + offset, qStride, rows, dim, scale);
          packRows(qRight, scaled, <usize>dim << 2, rows, dim, QB, split);
          product(weights, kLeft, qRight, seenByLast, dim, split);
          softmax(weights, seenByFirst, seenByLast, lanes, block, lo, split);
          let stat = stats + ((row0 * <usize>heads + <usize>head) << 3);
          for (let r: usize = 0; r < <usize>rows << 2; r += 4, stat += <usize>heads << 3) {
            store<f32>(stat, load<f32>(block + r));
            store<f32>(stat, load<f32>(block + r, 32), 4);
          }
          weigh(
            out + row0 * qStride + offset, qStride, weights, lo, vRight, valuePanel, rows, seenByFirst, dim, block + 32, 4, split, spare,
          );
        }
      }
    }
  }
}

/**
 * Rows of a cache (or those that `index` names) in the form that decoding reads, rounded: in blocks of eight rows, in them
 * head by head, a head's keys as [dim][8], its values as [8][dim].
 */
export function keep_rows(kept: usize, x: usize, rows: i32, width: i32, dim: i32, byKey: i32): void {
  const end = shareEnd(rows, 8);
  for (let r = shareStart(rows, 8); r < end; r++) keepRow(kept, x + (<usize>(r * width) << 2), r, width, dim, byKey);
}

export function keep_scattered(
  kept: usize, x: usize, index: usize, rows: i32, width: i32, offset: i32, dim: i32, byKey: i32,
): void {
  const end = shareEnd(rows, 1);
  for (let r = shareStart(rows, 1); r < end; r++) {
    const row = load<i32>(index + (<usize>(offset + r) << 2));
    keepRow(kept, x + (<usize>(r * width) << 2), row, width, dim, byKey);
  }
}

function keepRow(kept: usize, x: usize, row: i32, width: i32, dim: i32, byKey: i32): void {
  const bytes = <usize>dim << 2;
  let to = kept + (<usize>((row >> 3) * width) << 5) + <usize>(row & 7) * (byKey ? 4 : bytes);
  for (let c = 0; c < width; c += dim, x += bytes, to += bytes << 3) keepHead(to, x, bytes, byKey);
}

// @ts-ignore: decorator
@inline
function keepHead(to: usize, x: usize, bytes: usize, byKey: i32): void {
  const whole = bytes & ~15;
  let d: usize = 0;
  if (!byKey) {
    for (; d < whole; d += 16) v128.store(to + d, round12(v128.load(x + d)));
    for (; d < bytes; d += 4) store<f32>(to + d, round12Scalar(load<f32>(x + d)));
    return;
  }
  for (; d < whole; d += 16) {
    const v = round12(v128.load(x + d));
    const at = to + (d << 3);
    v128.store_lane<u32>(at, v, 0);
    v128.store_lane<u32>(at, v, 1, 32);
    v128.store_lane<u32>(at, v, 2, 64);
    v128.store_lane<u32>(at, v, 3, 96);
  }
  for (; d < bytes; d += 4) store<f32>(to + (d << 3), round12Scalar(load<f32>(x + d)));
}

/** q · scale, rounded. */
function scaleQueries(to: usize, q: usize, bytes: usize, scale: f32): void {
  const scale4 = f32x4.splat(scale);
  let i: usize = 0;
  for (const whole = bytes & ~15; i < whole; i += 16) {
    v128.store(to + i, round12(f32x4.mul(flush(v128.load(q + i), TINY), scale4)));
  }
  for (; i < bytes; i += 4) store<f32>(to + i, round12Scalar(flushScalar(load<f32>(q + i), TINY) * scale));
}

/**
 * One query a sequence (decoding), precision 12: the same sums in the same order, for `span` heads of keys and values from
 * `kvHead` on, block by block of eight rows, all heads of a block in turn. `kept`: k and v are of the form that `keep_rows`
 * makes (a literal, so that its loops hold no call); else each block is brought into it. Scores, and sums of values, of all
 * those heads lie in the scratch.
 */
// @ts-ignore: decorator
@inline
function decode(
  out: usize, stats: usize, q: usize, k: usize, v: usize, row: i32, at0: i32, n0: i32, at1: i32, keys: i32,
  heads: i32, kvHeads: i32, dim: i32, kvHead: i32, span: i32, scale: f32, kept: bool,
): void {
  const group = heads / kvHeads;
  const count = span * group;
  const bytes = <usize>dim << 2;
  const sumBytes = <usize>up(dim, NR) << 2;
  // A block of eight scores may run past the last key of its segment.
  const ldBytes = <usize>up(keys + 8, 8) << 2;
  const lanes = threadScratch();
  const sums = lanes + LANES_BYTES;
  const queries = sums + <usize>count * sumBytes;
  const panel = queries + <usize>count * sumBytes;
  const scores = panel + (sumBytes << 3);
  const head0 = row * heads + kvHead * group;
  const stat = stats + (<usize>head0 << 3);
  scaleQueries(queries, q + <usize>head0 * bytes, <usize>count * bytes, scale);
  const headBlock = bytes << 3;
  const rowBytes = <usize>kvHeads * bytes;
  // Of eight rows, whichever form: a segment that is kept begins with a block.
  const block = rowBytes << 3;
  const offset = <usize>kvHead * (kept ? headBlock : bytes);
  const start0 = <usize>at0 * rowBytes + offset;
  const start1 = <usize>at1 * rowBytes + offset;
  const groupScores = <usize>group * ldBytes;
  const groupQueries = <usize>group * bytes;
  const groupSums = <usize>group * sumBytes;
  const first = min(n0, keys);
  for (let segment = 0; segment < 2; segment++) {
    let p = k + (segment ? start1 : start0);
    const end = segment ? keys : first;
    for (let j = segment ? first : 0; j < end; j += 8, p += block) {
      let to = scores + (<usize>j << 2);
      let query = queries;
      for (let h = 0; h < span; h++, to += groupScores, query += groupQueries) {
        const x = kept ? p + <usize>h * headBlock : blockOf(panel, p + <usize>h * bytes, rowBytes, min(8, end - j), bytes, 1);
        scoreGroup(to, ldBytes, query, x, dim, group);
      }
    }
  }
  for (let g = 0; g < count; g++) weightsOfOne(scores + <usize>g * ldBytes, keys, lanes, stat + (<usize>g << 3));
  memory.fill(sums, 0, <usize>count * sumBytes);
  for (let segment = 0; segment < 2; segment++) {
    let p = v + (segment ? start1 : start0);
    const end = segment ? keys : first;
    for (let j = segment ? first : 0; j < end; j += 8, p += block) {
      const rows = min(8, end - j);
      let w = scores + (<usize>j << 2);
      let to = sums;
      for (let h = 0; h < span; h++, w += groupScores, to += groupSums) {
        const x = kept ? p + <usize>h * headBlock : blockOf(panel, p + <usize>h * bytes, rowBytes, rows, bytes, 0);
        let g = 0;
        for (; g + 2 <= group; g += 2) {
          valuesOfBlock(to + <usize>g * sumBytes, sumBytes, w + <usize>g * ldBytes, ldBytes, x, rows, dim, true);
        }
        if (g < group) valuesOfBlock(to + <usize>g * sumBytes, sumBytes, w + <usize>g * ldBytes, ldBytes, x, rows, dim, false);
      }
    }
  }
  for (let g = 0; g < count; g++) {
    const to = out + <usize>(head0 + g) * bytes;
    const from = sums + <usize>g * sumBytes;
    const r = v128.load_splat<f32>(stat + (<usize>g << 3), 4);
    for (let d: usize = 0; d < bytes; d += 32) {
      storeDims(to + d, f32x4.mul(v128.load(from + d), r), f32x4.mul(v128.load(from + d, 16), r), bytes - d);
    }
  }
}

/** A head's rows of a block, brought into the form that `keep_rows` makes; rows past the last stay what they are. */
function blockOf(panel: usize, x: usize, rowBytes: usize, rows: i32, bytes: usize, byKey: i32): usize {
  for (let r = 0; r < rows; r++, x += rowBytes) keepHead(panel + <usize>r * (byKey ? 4 : bytes), x, bytes, byKey);
  return panel;
}

/** sums += Σ e_j v_j over the rows of a block, for one head or two. Dims past the last are computed from what lies there. */
// @ts-ignore: decorator
@inline
function valuesOfBlock(sums: usize, sumBytes: usize, w0: usize, ldBytes: usize, x: usize, rows: i32, dim: i32, two: bool): void {
  const bytes = <usize>dim << 2;
  for (let d: usize = 0; d < bytes; d += 32) {
    const to = sums + d;
    let a0 = v128.load(to);
    let a1 = v128.load(to, 16);
    let b0 = f32x4.splat(0);
    let b1 = f32x4.splat(0);
    if (two) {
      b0 = v128.load(to + sumBytes);
      b1 = v128.load(to + sumBytes, 16);
    }
    let at = x + d;
    let w1 = w0 + ldBytes;
    let w = w0;
    for (const end = w0 + (<usize>rows << 2); w < end; w += 4, at += bytes) {
      const x0 = v128.load(at);
      const x1 = v128.load(at, 16);
      let e = v128.load_splat<f32>(w);
      a0 = madd(e, x0, a0);
      a1 = madd(e, x1, a1);
      if (two) {
        e = v128.load_splat<f32>(w1);
        b0 = madd(e, x0, b0);
        b1 = madd(e, x1, b1);
        w1 += 4;
      }
    }
    v128.store(to, a0);
    v128.store(to, a1, 16);
    if (two) {
      v128.store(to + sumBytes, b0);
      v128.store(to + sumBytes, b1, 16);
    }
  }
}

// @ts-ignore: decorator
@inline
function scoreGroup(to: usize, ldBytes: usize, queries: usize, panel: usize, dim: i32, group: i32): void {
  let g = 0;
  for (; g + 2 <= group; g += 2) scoreHeads(to + <usize>g * ldBytes, ldBytes, queries + (<usize>(g * dim) << 2), panel, dim, true);
  if (g < group) scoreHeads(to + <usize>g * ldBytes, ldBytes, queries + (<usize>(g * dim) << 2), panel, dim, false);
}

/** Scores of 8 keys (panel [d][8]) for one head, or two. */
// @ts-ignore: decorator
@inline
function scoreHeads(to: usize, ldBytes: usize, query: usize, panel: usize, dim: i32, two: bool): void {
  let s0 = f32x4.splat(0);
  let s1 = f32x4.splat(0);
  let s2 = f32x4.splat(0);
  let s3 = f32x4.splat(0);
  let q1 = query + (<usize>dim << 2);
  for (const end = q1; query < end; query += 4, panel += 32) {
    const k0 = v128.load(panel);
    const k1 = v128.load(panel, 16);
    let x = v128.load_splat<f32>(query);
    s0 = madd(x, k0, s0);
    s1 = madd(x, k1, s1);
    if (two) {
      x = v128.load_splat<f32>(q1);
      s2 = madd(x, k0, s2);
      s3 = madd(x, k1, s3);
      q1 += 4;
    }
  }
  v128.store(to, s0);
  v128.store(to, s1, 16);
  if (two) {
    v128.store(to + ldBytes, s2);
    v128.store(to + ldBytes, s3, 16);
  }
}

/** A score whose weight is +0 beside any that is seen. */
const UNSEEN: f32 = -1e30;

/** A row of scores → rounded weights, +0 past the last key up to a multiple of 8; m and 1/l to `stat`. */
function weightsOfOne(row: usize, keys: i32, lanes: usize, stat: usize): void {
  const end = <usize>up(keys, 8) << 2;
  for (let o = <usize>keys << 2; o < end; o += 4) store<f32>(row + o, UNSEEN);
  let m4 = v128.load(row);
  for (let o: usize = 16; o < end; o += 16) m4 = f32x4.pmax(m4, v128.load(row + o));
  m4 = f32x4.pmax(m4, v128.shuffle<i32>(m4, m4, 2, 3, 0, 1));
  m4 = f32x4.pmax(m4, v128.shuffle<i32>(m4, m4, 1, 0, 3, 2));
  v128.store(lanes, m4);
  v128.store(lanes, m4, 16);
  expRow(row, row, end, lanes);
  const half = half12(), bits = bits12(), size = magnitude(), least = tiniest();
  // Lane l takes keys l, l + 64, …: the first 64 keys store, later ones add.
  let o: usize = 0;
  for (const round = min(end, 256); o < round; o += 16) {
    const e = v128.load(row + o);
    v128.store(lanes + o, e);
    v128.store(row + o, round12By(e, half, bits, size, least));
  }
  for (; o < end; o += 16) {
    const lane = lanes + (o & 255);
    const e = v128.load(row + o);
    v128.store(lane, f32x4.add(v128.load(lane), e));
    v128.store(row + o, round12By(e, half, bits, size, least));
  }
  for (; o < 256; o += 16) v128.store(lanes + o, f32x4.splat(0));
  store<f32>(stat, f32x4.extract_lane(m4, 0));
  store<f32>(stat, rcp1(lanesTree(lanes)), 4);
}

/** The first `left` bytes of eight numbers. */
// @ts-ignore: decorator
@inline
function storeDims(at: usize, x0: v128, x1: v128, left: usize): void {
  if (left >= 32) {
    v128.store(at, x0);
    v128.store(at, x1, 16);
    return;
  }
  let x = x0;
  if (left >= 16) {
    v128.store(at, x);
    at += 16;
    left -= 16;
    x = x1;
  }
  for (; left > 0; left -= 4, at += 4) {
    v128.store_lane<u32>(at, x, 0);
    x = v128.shuffle<i32>(x, x, 1, 2, 3, 0);
  }
}

function multiplyRow(x: usize, n: i32, s: f32): void {
  const s4 = f32x4.splat(s);
  let i = 0;
  for (; i + 4 <= n; i += 4) v128.store(x + (<usize>i << 2), f32x4.mul(v128.load(x + (<usize>i << 2)), s4));
  for (; i < n; i++) store<f32>(x + (<usize>i << 2), load<f32>(x + (<usize>i << 2)) * s);
}

/** Training backward: each sequence has as many queries as keys, all in segment 1. dq, dk, dv are overwritten. */
export function attention_bwd(
  dq: usize, dk: usize, dv: usize, dout: usize, out: usize, stats: usize, q: usize, k: usize, v: usize, table: usize,
  sequences: i32, heads: i32, kvHeads: i32, dim: i32, maxKeys: i32, precision: i32, scale: f32,
): void {
  const split = precision == 24;
  const group = heads / kvHeads;
  const qStride = <usize>(heads * dim) << 2;
  const kStride = <usize>(kvHeads * dim) << 2;
  const tasks = sequences * kvHeads;
  // Key heads fastest: neighbours read the same rows.
  const end = shareEnd(tasks, 1);
  for (let t = shareStart(tasks, 1); t < end; t++) {
    const entry = table + <usize>(t / kvHeads) * 24;
    const kvHead = t % kvHeads;
    const qStart = load<i32>(entry);
    const length = load<i32>(entry, 4);
    const kStart = load<i32>(entry, 16);
    if (length == 0) continue;
    const padded = up(length, 40);
    const dimUp = up(dim, NR);
    const keyPanels = panelBytes(dimUp, padded, split);
    const queryPanels = panelBytes(dimUp, QB, split);
    const scaled = threadScratch();
    const spare = scaled + (<usize>dimUp << 5);
    const lanes = spare + SPARE_BYTES;
    const block = lanes + BLOCK_LANES;
    const kLeft = block + 256;
    const vLeft = kLeft + keyPanels;
    const kRight = vLeft + keyPanels;
    const qByDim = kRight + keyPanels;
    const doByDim = qByDim + queryPanels;
    const qByRow = doByDim + queryPanels;
    const doByRow = qByRow + queryPanels;
    const p = doByRow + queryPanels;
    const ds = p + panelBytes(QB, padded, split);
    const lo = <usize>padded * ROW;
    const headOffset = <usize>(kvHead * dim) << 2;
    packKeys(kLeft, k + headOffset, kStride, 0, 0, kStart, length, dim, split);
    packKeys(vLeft, v + headOffset, kStride, 0, 0, kStart, length, dim, split);
    packValues(kRight, k + headOffset, kStride, 0, 0, kStart, length, dim, split);
    const valuePanel = panelBytes(NR, length, split);
    for (let j = 0; j < length; j++) {
      const o = <usize>(kStart + j) * kStride + headOffset;
      memory.fill(dk + o, 0, <usize>dim << 2);
      memory.fill(dv + o, 0, <usize>dim << 2);
    }
    for (let g = 0; g < group; g++) {
      const head = kvHead * group + g;
      const offset = <usize>(head * dim) << 2;
      for (let i0 = 0; i0 < length; i0 += QB) {
        const rows = min(QB, length - i0);
        const seenByFirst = i0 + 1;
        const seenByLast = i0 + rows;
        const row0 = <usize>(qStart + i0);
        const doRows = dout + row0 * qStride + offset;
        scaleRows(scaled, q + row0 * qStride + offset, qStride, rows, dim, scale);
        packRows(qByDim, scaled, <usize>dim << 2, rows, dim, QB, split);
        packValues(qByRow, scaled, <usize>dim << 2, 0, 0, 0, rows, dim, split);
        scaleRows(scaled, doRows, qStride, rows, dim, 1);
        packRows(doByDim, scaled, <usize>dim << 2, rows, dim, QB, split);
        packValues(doByRow, scaled, <usize>dim << 2, 0, 0, 0, rows, dim, split);
        product(p, kLeft, qByDim, seenByLast, dim, split);
        product(ds, vLeft, doByDim, seenByLast, dim, split);
        let stat = stats + ((row0 * <usize>heads + <usize>head) << 3);
        memory.fill(block, 0, 96);
        for (let r = 0; r < rows; r++, stat += <usize>heads << 3) {
          const at = block + (<usize>r << 2);
          store<f32>(at, load<f32>(stat));
          store<f32>(at, load<f32>(stat, 4), 32);
          store<f32>(at, rowDot(lanes, doRows + <usize>r * qStride, out + (row0 + <usize>r) * qStride + offset, dim), 64);
        }
        weightsAndSlopes(p, ds, seenByFirst, seenByLast, block, lo, split);
        for (let r: usize = 0; r < 32; r += 4) store<f32>(block + r, scale);
        weigh(dq + row0 * qStride + offset, qStride, ds, lo, kRight, valuePanel, rows, seenByFirst, dim, block, 4, split, spare);
        accumulateKeys(dk, kStart, kStride, headOffset, ds, lo, qByRow, rows, seenByLast, dim, split, spare);
        accumulateKeys(dv, kStart, kStride, headOffset, p, lo, doByRow, rows, seenByLast, dim, split, spare);
      }
    }
  }
}

/** dst[j] += Σ_i s[j, i] · right[i] for keys j < seen. */
function accumulateKeys(
  dst: usize, kStart: i32, kStride: usize, headOffset: usize, s: usize, lo: usize, right: usize,
  rows: i32, seen: i32, dim: i32, split: bool, spare: usize,
): void {
  const panel = panelBytes(NR, rows, split);
  const height = tileRows(ROWS_OF_8, split);
  for (let j = 0; j < seen; j += height) {
    const at = dst + <usize>(kStart + j) * kStride + headOffset;
    let b = right;
    for (let d = 0; d < dim; d += NR, b += panel) {
      tileEdge(
        ROWS_OF_8, at + (<usize>d << 2), kStride, s + <usize>j * ROW, lo, b, rows, true, split, min(height, seen - j), min(NR, dim - d), spare,
      );
    }
  }
}

/** Scores → p in place; dP → dS in place; both rounded, and +0 where a query does not see the key. `block`: m, 1/l, D of 8 queries. */
function weightsAndSlopes(p: usize, ds: usize, seenByFirst: i32, seenByLast: i32, block: usize, lo: usize, split: bool): void {
  expRow(p, p, <usize>seenByLast * ROW, block);
  for (let half: usize = 0; half < 32; half += 16) {
    const inverse = v128.load(block + half, 32);
    const dot = v128.load(block + half, 64);
    for (let j = 0; j < seenByLast; j++) {
      const o = <usize>j * ROW + half;
      let e = v128.load(p + o);
      if (j >= seenByFirst) e = v128.and(e, seeing(<i32>(half >> 2), j - seenByFirst + 1));
      const w = f32x4.mul(flush(e, TINY), inverse);
      const slope = flush(f32x4.sub(v128.load(ds + o), dot), TINY);
      putWeight(p + o, w, lo, split);
      putWeight(ds + o, f32x4.mul(flush(w, TINY), slope), lo, split);
    }
  }
}

/** Σ64 a·b over n elements. */
function rowDot(lanes: usize, a: usize, b: usize, n: i32): f32 {
  lanesClear(lanes);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const at = lanes + (<usize>(i & 63) << 2);
    const x = f32x4.mul(flush(v128.load(a + (<usize>i << 2)), TINY), flush(v128.load(b + (<usize>i << 2)), TINY));
    v128.store(at, f32x4.add(v128.load(at), x));
  }
  for (; i < n; i++) {
    const at = lanes + (<usize>(i & 63) << 2);
    store<f32>(at, load<f32>(at) + flushScalar(load<f32>(a + (<usize>i << 2)), TINY) * flushScalar(load<f32>(b + (<usize>i << 2)), TINY));
  }
  return lanesTree(lanes);
}
