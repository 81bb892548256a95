/**
 * Causal grouped-query attention over packed ragged sequences, with or without a cache (rule 3).
 *
 * Query i of a sequence sees keys 0 … i and nothing else, and its result is a function of q_i and those keys alone: the
 * same bits in a prefill, in training, in decoding with a cache, whatever else is in the batch. A block of queries is
 * computed against all keys of its last query; entries above the diagonal have weight +0, which changes no bit.
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
import { exp4, rcp1 } from "./elementary";
import { packCols, packFourRows, packRows } from "./pack";
import { LANES_BYTES, lanesAdd, lanesClear, lanesTree } from "./reduce";
import { flush, flushScalar, madd, round12, round12Scalar, TINY } from "./simd";
import { MR, NR, panelBytes, tile, tileEdge, tileStridedEdge } from "./tile";
import { threadCount, threadIndex, threadScratch } from "./parallel";

/** Queries a block. */
const QB: i32 = 32;

// @ts-ignore: decorator
@inline
function up(n: i32, to: i32): i32 {
  return (n + to - 1) & -to;
}

/** Right panels [d][8 keys] of keys 0 … n−1 (n padded to 8) from a row-major k with `stride` bytes a row. */
function packKeys(dst: usize, k: usize, stride: usize, at0: i32, n0: i32, at1: i32, n: i32, dim: i32, split: bool): void {
  const panel = panelBytes(NR, dim, split);
  for (let j = 0; j < n; j += NR, dst += panel) {
    const rows = min(NR, n - j);
    if (j + rows <= n0) packRows(dst, k + <usize>(at0 + j) * stride, stride, rows, dim, NR, split);
    else if (j >= n0) packRows(dst, k + <usize>(at1 + j - n0) * stride, stride, rows, dim, NR, split);
    else packRowsAcross(dst, k, stride, at0 + j, n0 - j, at1, rows, dim, split);
  }
}

/** A panel whose rows come from both segments: gathered into the tail of the panel's own space first is not safe, so row by row. */
function packRowsAcross(dst: usize, k: usize, stride: usize, at0: i32, n0: i32, at1: i32, rows: i32, dim: i32, split: bool): void {
  const one = threadScratch();
  const bytes = <usize>dim << 2;
  for (let r = 0; r < rows; r++) {
    const row = r < n0 ? at0 + r : at1 + r - n0;
    memory.copy(one + <usize>r * bytes, k + <usize>row * stride, bytes);
  }
  packRows(dst, one, bytes, rows, dim, NR, split);
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

/** rows (≤ QB) of x at `stride`, times s, into left panels [dim][4]; `spare` holds 4·dim floats. */
function packScaled(dst: usize, x: usize, stride: usize, rows: i32, dim: i32, s: f32, spare: usize, split: bool): void {
  const s4 = f32x4.splat(s);
  const bytes = <usize>dim << 2;
  for (let i = 0; i < rows; i += MR, dst += panelBytes(MR, dim, split)) {
    const n = min(MR, rows - i);
    for (let r = 0; r < n; r++) {
      const from = x + <usize>(i + r) * stride;
      const to = spare + <usize>r * bytes;
      let d: usize = 0;
      for (; d + 16 <= bytes; d += 16) v128.store(to + d, f32x4.mul(flush(v128.load(from + d), TINY), s4));
      for (; d < bytes; d += 4) store<f32>(to + d, flushScalar(load<f32>(from + d), TINY) * s);
    }
    packRows(dst, spare, bytes, n, dim, MR, split);
  }
}

/** out[rows × n] (row stride ld floats) = left panels · right panels, both already packed over `dim`. */
function product(out: usize, ld: i32, left: usize, right: usize, rows: i32, n: i32, dim: i32, split: bool, spare: usize): void {
  const ldBytes = <usize>ld << 2;
  for (let j = 0; j < n; j += NR, right += panelBytes(NR, dim, split)) {
    let a = left;
    for (let i = 0; i < rows; i += MR, a += panelBytes(MR, dim, split)) {
      const at = out + <usize>i * ldBytes + (<usize>j << 2);
      const r = min(MR, rows - i);
      const c = min(NR, n - j);
      if (r == MR && c == NR) tile(at, ldBytes, a, right, dim, false, split);
      else tileEdge(at, ldBytes, a, right, dim, false, split, r, c, spare);
    }
  }
}

/** Row of scores → e = exp(s − m) for the first `seen`, +0 up to `padded`. */
function exponentials(row: usize, seen: i32, padded: i32, m: f32): void {
  const m4 = f32x4.splat(m);
  let j = 0;
  for (; j + 4 <= seen; j += 4) {
    const o = <usize>j << 2;
    v128.store(row + o, exp4(f32x4.sub(v128.load(row + o), m4)));
  }
  if (j < seen) {
    // The lanes past `seen` may hold anything finite; they are cleared below.
    const o = <usize>j << 2;
    v128.store(row + o, exp4(f32x4.sub(v128.load(row + o), m4)));
    j = seen;
  }
  memory.fill(row + (<usize>j << 2), 0, <usize>(padded - j) << 2);
}

function rowMax(row: usize, seen: i32): f32 {
  let m = load<f32>(row);
  let j = 0;
  if (seen >= 4) {
    let m4 = v128.load(row);
    for (j = 4; j + 4 <= seen; j += 4) m4 = f32x4.pmax(m4, v128.load(row + (<usize>j << 2)));
    m4 = f32x4.pmax(m4, v128.shuffle<i32>(m4, m4, 2, 3, 0, 1));
    m = max(f32x4.extract_lane(m4, 0), f32x4.extract_lane(m4, 1));
  }
  for (; j < seen; j++) m = max(m, load<f32>(row + (<usize>j << 2)));
  return m;
}

/** Scratch of one thread, in the order below; hosts/cpu.ts asks for it through `attention_scratch`. */
export function attention_scratch(keys: i32, dim: i32, precision: i32): usize {
  const split = precision == 24;
  const n = up(keys, 64);
  return (
    (<usize>dim << 5) + LANES_BYTES + 128 + // row gather, lanes, spare tile
    4 * panelBytes(NR, up(dim, NR), split) * <usize>(n / NR) + // K panels, V panels (and V as keys, K as values in backward)
    2 * panelBytes(up(dim, NR), QB, split) * 2 + (<usize>dim << 4) + // q, dO as left and right panels, scaled rows
    2 * (<usize>(QB * n) << 2) + // scores and dS
    panelBytes(QB, n, split) + // weights as left panels
    panelBytes(MR, QB, split) + 4096
  );
}

export function attention_fwd(
  out: usize, stats: usize, q: usize, k: usize, v: usize, table: usize,
  sequences: i32, heads: i32, kvHeads: i32, dim: i32, maxKeys: i32, precision: i32, scale: f32,
): void {
  const split = precision == 24;
  const group = heads / kvHeads;
  const qStride = <usize>(heads * dim) << 2;
  const kStride = <usize>(kvHeads * dim) << 2;
  const tasks = sequences * kvHeads;
  for (let t = threadIndex(); t < tasks; t += threadCount()) {
    const entry = table + <usize>(t / kvHeads) * 24;
    const kvHead = t % kvHeads;
    const qStart = load<i32>(entry);
    const queries = load<i32>(entry, 4);
    const at0 = load<i32>(entry, 8);
    const n0 = load<i32>(entry, 12);
    const at1 = load<i32>(entry, 16);
    const keys = n0 + load<i32>(entry, 20);
    if (queries == 0) continue;
    if (queries == 1 && !split) {
      decodeOne(out, stats, q, k, v, qStart, at0, n0, at1, keys, heads, kvHeads, dim, kvHead, scale);
      continue;
    }
    const ld = up(keys, 64);
    const lanes = threadScratch() + (<usize>dim << 5);
    const spare = lanes + LANES_BYTES;
    const kPanels = spare + 128;
    const vPanels = kPanels + panelBytes(NR, dim, split) * <usize>(ld / NR);
    const scaled = vPanels + panelBytes(NR, ld, split) * <usize>(up(dim, NR) / NR);
    const qPanels = scaled + (<usize>dim << 4);
    const scores = qPanels + panelBytes(MR, dim, split) * <usize>(QB / MR);
    const weights = scores + (<usize>(QB * ld) << 2);
    const headOffset = <usize>(kvHead * dim) << 2;
    packKeys(kPanels, k + headOffset, kStride, at0, n0, at1, keys, dim, split);
    packValues(vPanels, v + headOffset, kStride, at0, n0, at1, keys, dim, split);
    for (let g = 0; g < group; g++) {
      const head = kvHead * group + g;
      const qHead = q + (<usize>(head * dim) << 2);
      for (let i0 = 0; i0 < queries; i0 += QB) {
        const rows = min(QB, queries - i0);
        const seenByFirst = keys - queries + i0 + 1;
        const seenByLast = seenByFirst + rows - 1;
        const row0 = <usize>(qStart + i0);
        packScaled(qPanels, qHead + row0 * qStride, qStride, rows, dim, scale, scaled, split);
        product(scores, ld, qPanels, kPanels, rows, seenByLast, dim, split, spare);
        for (let r = 0; r < rows; r++) {
          const row = scores + (<usize>(r * ld) << 2);
          const seen = seenByFirst + r;
          const m = rowMax(row, seen);
          exponentials(row, seen, up(seenByLast, 4), m);
          lanesClear(lanes);
          lanesAdd(lanes, row, seen);
          const stat = stats + (((row0 + <usize>r) * <usize>heads + <usize>head) << 3);
          store<f32>(stat, m);
          store<f32>(stat, rcp1(lanesTree(lanes)), 4);
          if (!split) roundRow(row, up(seenByLast, 4));
        }
        for (let r = 0; r < rows && !split; r += MR) {
          const a = scores + (<usize>(r * ld) << 2);
          const o = out + (row0 + <usize>r) * qStride + (<usize>(head * dim) << 2);
          let panel = vPanels;
          for (let d = 0; d < dim; d += NR, panel += panelBytes(NR, keys, false)) {
            const n = min(MR, rows - r);
            const c = min(NR, dim - d);
            tileStridedEdge(o + (<usize>d << 2), qStride, a, <usize>ld << 2, 4, panel, seenByLast, false, n, c, spare);
          }
        }
        for (let r = 0; r < rows && split; r += MR) {
          packRows(weights, scores + (<usize>(r * ld) << 2), <usize>ld << 2, min(MR, rows - r), seenByLast, MR, split);
          const o = out + (row0 + <usize>r) * qStride + (<usize>(head * dim) << 2);
          let panel = vPanels;
          for (let d = 0; d < dim; d += NR, panel += panelBytes(NR, keys, split)) {
            const n = min(MR, rows - r);
            const c = min(NR, dim - d);
            if (n == MR && c == NR) tile(o + (<usize>d << 2), qStride, weights, panel, seenByLast, false, split);
            else tileEdge(o + (<usize>d << 2), qStride, weights, panel, seenByLast, false, split, n, c, spare);
          }
        }
        for (let r = 0; r < rows; r++) {
          const inverse = load<f32>(stats + (((row0 + <usize>r) * <usize>heads + <usize>head) << 3), 4);
          multiplyRow(out + (row0 + <usize>r) * qStride + (<usize>(head * dim) << 2), dim, inverse);
        }
      }
    }
  }
}

/**
 * One query a sequence (decoding), precision 12: the same sums in the same order without panels, each key and value
 * read once for all heads of the group.
 */
function decodeOne(
  out: usize, stats: usize, q: usize, k: usize, v: usize, row: i32, at0: i32, n0: i32, at1: i32, keys: i32,
  heads: i32, kvHeads: i32, dim: i32, kvHead: i32, scale: f32,
): void {
  const group = heads / kvHeads;
  const kStride = <usize>(kvHeads * dim) << 2;
  const headOffset = <usize>(kvHead * dim) << 2;
  const ldBytes = <usize>up(keys, 64) << 2;
  const lanes = threadScratch();
  const queries = lanes + LANES_BYTES;
  const panel = queries + (<usize>(group * dim) << 2);
  const scores = panel + (<usize>dim << 5);
  const qRow = q + (<usize>((row * heads + kvHead * group) * dim) << 2);
  for (let i: usize = 0; i < <usize>(group * dim) << 2; i += 4) {
    store<f32>(queries + i, round12Scalar(flushScalar(load<f32>(qRow + i), TINY) * scale));
  }
  for (let j = 0; j < keys; j += 8) {
    packFourRows(panel, keyRow(k, j, n0, at0, at1, keys, kStride, headOffset), keyRow(k, j + 1, n0, at0, at1, keys, kStride, headOffset),
      keyRow(k, j + 2, n0, at0, at1, keys, kStride, headOffset), keyRow(k, j + 3, n0, at0, at1, keys, kStride, headOffset), dim, 32, 0, false);
    packFourRows(panel + 16, keyRow(k, j + 4, n0, at0, at1, keys, kStride, headOffset), keyRow(k, j + 5, n0, at0, at1, keys, kStride, headOffset),
      keyRow(k, j + 6, n0, at0, at1, keys, kStride, headOffset), keyRow(k, j + 7, n0, at0, at1, keys, kStride, headOffset), dim, 32, 0, false);
    for (let g = 0; g < group; g++) {
      let s0 = f32x4.splat(0);
      let s1 = f32x4.splat(0);
      let p = panel;
      let at = queries + (<usize>(g * dim) << 2);
      for (let d = 0; d < dim; d++, p += 32, at += 4) {
        const x = v128.load_splat<f32>(at);
        s0 = madd(x, v128.load(p), s0);
        s1 = madd(x, v128.load(p, 16), s1);
      }
      const to = scores + <usize>g * ldBytes + (<usize>j << 2);
      v128.store(to, s0);
      v128.store(to, s1, 16);
    }
  }
  for (let g = 0; g < group; g++) {
    const weights = scores + <usize>g * ldBytes;
    const m = rowMax(weights, keys);
    exponentials(weights, keys, up(keys, 4), m);
    lanesClear(lanes);
    lanesAdd(lanes, weights, keys);
    const inverse = rcp1(lanesTree(lanes));
    const stat = stats + (<usize>(row * heads + kvHead * group + g) << 3);
    store<f32>(stat, m);
    store<f32>(stat, inverse, 4);
    for (let j: usize = 0; j < <usize>keys << 2; j += 16) v128.store(weights + j, round12(v128.load(weights + j)));
  }
  const outRow = out + (<usize>((row * heads + kvHead * group) * dim) << 2);
  const first = min(n0, keys);
  const v0 = v + <usize>at0 * kStride + headOffset;
  const v1 = v + <usize>at1 * kStride + headOffset;
  for (let g = 0; g < group; g += 2) {
    const two = g + 1 < group;
    const w0 = scores + <usize>g * ldBytes;
    const w1 = two ? w0 + ldBytes : w0;
    const o0 = outRow + (<usize>(g * dim) << 2);
    const o1 = o0 + (<usize>dim << 2);
    const r0 = load<f32>(stats + (<usize>(row * heads + kvHead * group + g) << 3), 4);
    const r1 = two ? load<f32>(stats + (<usize>(row * heads + kvHead * group + g + 1) << 3), 4) : 0;
    let d = 0;
    for (; d + 4 <= dim; d += 4) {
      let a0 = f32x4.splat(0);
      let a1 = f32x4.splat(0);
      let at = v0 + (<usize>d << 2);
      let j: usize = 0;
      for (; j < <usize>first << 2; j += 4, at += kStride) {
        const x = round12(v128.load(at));
        a0 = madd(v128.load_splat<f32>(w0 + j), x, a0);
        a1 = madd(v128.load_splat<f32>(w1 + j), x, a1);
      }
      at = v1 + (<usize>d << 2);
      for (; j < <usize>keys << 2; j += 4, at += kStride) {
        const x = round12(v128.load(at));
        a0 = madd(v128.load_splat<f32>(w0 + j), x, a0);
        a1 = madd(v128.load_splat<f32>(w1 + j), x, a1);
      }
      v128.store(o0 + (<usize>d << 2), f32x4.mul(a0, f32x4.splat(r0)));
      if (two) v128.store(o1 + (<usize>d << 2), f32x4.mul(a1, f32x4.splat(r1)));
    }
    for (; d < dim; d++) {
      let a0: f32 = 0;
      let a1: f32 = 0;
      for (let j = 0; j < keys; j++) {
        const from = (j < first ? v0 + <usize>j * kStride : v1 + <usize>(j - first) * kStride) + (<usize>d << 2);
        const x = round12Scalar(load<f32>(from));
        a0 += load<f32>(w0 + (<usize>j << 2)) * x;
        a1 += load<f32>(w1 + (<usize>j << 2)) * x;
      }
      store<f32>(o0 + (<usize>d << 2), a0 * r0);
      if (two) store<f32>(o1 + (<usize>d << 2), a1 * r1);
    }
  }
}

// @ts-ignore: decorator
@inline
function keyRow(k: usize, j: i32, n0: i32, at0: i32, at1: i32, keys: i32, stride: usize, offset: usize): usize {
  if (j >= keys) return 0;
  return k + <usize>(j < n0 ? at0 + j : at1 + j - n0) * stride + offset;
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
  for (let t = threadIndex(); t < tasks; t += threadCount()) {
    const entry = table + <usize>(t / kvHeads) * 24;
    const kvHead = t % kvHeads;
    const qStart = load<i32>(entry);
    const length = load<i32>(entry, 4);
    const kStart = load<i32>(entry, 16);
    if (length == 0) continue;
    const ld = up(length, 64);
    const ldBytes = <usize>ld << 2;
    const dimUp = up(dim, NR);
    const keyPanels = panelBytes(NR, dim, split) * <usize>(ld / NR);
    const valuePanels = panelBytes(NR, ld, split) * <usize>(dimUp / NR);
    const lanes = threadScratch() + (<usize>dim << 5);
    const spare = lanes + LANES_BYTES;
    const kAsKeys = spare + 128;
    const kAsValues = kAsKeys + keyPanels;
    const vAsKeys = kAsValues + valuePanels;
    const scaled = vAsKeys + keyPanels;
    const qLeft = scaled + (<usize>dim << 4);
    const doLeft = qLeft + panelBytes(MR, dim, split) * <usize>(QB / MR);
    const qRight = doLeft + panelBytes(MR, dim, split) * <usize>(QB / MR);
    const doRight = qRight + panelBytes(dimUp, QB, split);
    const p = doRight + panelBytes(dimUp, QB, split);
    const ds = p + <usize>QB * ldBytes;
    const left = ds + <usize>QB * ldBytes;
    const headOffset = <usize>(kvHead * dim) << 2;
    packKeys(kAsKeys, k + headOffset, kStride, 0, 0, kStart, length, dim, split);
    packValues(kAsValues, k + headOffset, kStride, 0, 0, kStart, length, dim, split);
    packKeys(vAsKeys, v + headOffset, kStride, 0, 0, kStart, length, dim, split);
    const valuePanel = panelBytes(NR, length, split);
    for (let g = 0; g < group; g++) {
      const head = kvHead * group + g;
      const qOffset = <usize>(head * dim) << 2;
      for (let i0 = 0; i0 < length; i0 += QB) {
        const rows = min(QB, length - i0);
        const seenByLast = i0 + rows;
        const row0 = <usize>(qStart + i0);
        const qRows = q + row0 * qStride + qOffset;
        const doRows = dout + row0 * qStride + qOffset;
        packScaled(qLeft, qRows, qStride, rows, dim, scale, scaled, split);
        packScaled(doLeft, doRows, qStride, rows, dim, 1, scaled, split);
        product(p, ld, qLeft, kAsKeys, rows, seenByLast, dim, split, spare);
        product(ds, ld, doLeft, vAsKeys, rows, seenByLast, dim, split, spare);
        for (let r = 0; r < rows; r++) {
          const stat = stats + (((row0 + <usize>r) * <usize>heads + <usize>head) << 3);
          weightsAndSlopes(
            p + <usize>r * ldBytes, ds + <usize>r * ldBytes, i0 + r + 1, up(seenByLast, 4), load<f32>(stat), load<f32>(stat, 4),
            rowDot(lanes, dout + (row0 + <usize>r) * qStride + qOffset, out + (row0 + <usize>r) * qStride + qOffset, dim), split,
          );
        }
        // dQ: left dS [j][4 rows], right K [j][8 dims]
        for (let r = 0; r < rows; r += MR) {
          const n = min(MR, rows - r);
          if (split) packRows(left, ds + <usize>r * ldBytes, ldBytes, n, seenByLast, MR, split);
          for (let d = 0; d < dim; d += NR) {
            const at = dq + (row0 + <usize>r) * qStride + qOffset + (<usize>d << 2);
            const c = min(NR, dim - d);
            const panel = kAsValues + valuePanel * <usize>(d / NR);
            if (!split) tileStridedEdge(at, qStride, ds + <usize>r * ldBytes, ldBytes, 4, panel, seenByLast, false, n, c, spare);
            else if (n == MR && c == NR) tile(at, qStride, left, panel, seenByLast, false, split);
            else tileEdge(at, qStride, left, panel, seenByLast, false, split, n, c, spare);
          }
          for (let e = 0; e < n; e++) multiplyRow(dq + (row0 + <usize>(r + e)) * qStride + qOffset, dim, scale);
        }
        // dK, dV: left dSᵀ, Pᵀ [i][4 keys], right q·scale, dO [i][8 dims]
        packScaledRight(qRight, qRows, qStride, rows, dim, scale, scaled, split);
        packScaledRight(doRight, doRows, qStride, rows, dim, 1, scaled, split);
        const fresh = g == 0;
        accumulateKeys(dk, kStart, kStride, headOffset, ds, ldBytes, qRight, rows, i0, seenByLast, dim, fresh, left, split, spare);
        accumulateKeys(dv, kStart, kStride, headOffset, p, ldBytes, doRight, rows, i0, seenByLast, dim, fresh, left, split, spare);
      }
    }
  }
}

/** rows of x, times s, as right panels [row][8 dims]; `spare` holds a row. */
function packScaledRight(dst: usize, x: usize, stride: usize, rows: i32, dim: i32, s: f32, spare: usize, split: bool): void {
  const bytes = <usize>dim << 2;
  const panel = panelBytes(NR, rows, split);
  for (let r = 0; r < rows; r++) {
    const from = x + <usize>r * stride;
    const s4 = f32x4.splat(s);
    let d: usize = 0;
    for (; d + 16 <= bytes; d += 16) v128.store(spare + d, f32x4.mul(flush(v128.load(from + d), TINY), s4));
    for (; d < bytes; d += 4) store<f32>(spare + d, flushScalar(load<f32>(from + d), TINY) * s);
    for (let c = 0; c < dim; c += NR) {
      packCols(dst + panel * <usize>(c / NR) + panelBytes(NR, r, split), spare + (<usize>c << 2), 0, min(NR, dim - c), 1, NR, split);
    }
  }
}

/** dst[j] += Σ_i s[i, j] · right[i] for keys j < seen; the first block that reaches a key (of the first head) overwrites. */
function accumulateKeys(
  dst: usize, kStart: i32, kStride: usize, headOffset: usize, s: usize, ldBytes: usize, right: usize,
  rows: i32, i0: i32, seen: i32, dim: i32, fresh: bool, left: usize, split: bool, spare: usize,
): void {
  const panel = panelBytes(NR, rows, split);
  for (let j = 0; j < seen; j += MR) {
    const n = min(MR, seen - j);
    if (split) packCols(left, s + (<usize>j << 2), ldBytes, n, rows, MR, split);
    // Blocks begin at multiples of 32 and key tiles at multiples of 4: a tile is either all new or all begun.
    const loadC = !(fresh && j >= i0);
    for (let d = 0; d < dim; d += NR) {
      const at = dst + <usize>(kStart + j) * kStride + headOffset + (<usize>d << 2);
      const c = min(NR, dim - d);
      const b = right + panel * <usize>(d / NR);
      if (!split) tileStridedEdge(at, kStride, s + (<usize>j << 2), 4, ldBytes, b, rows, loadC, n, c, spare);
      else if (n == MR && c == NR) tile(at, kStride, left, b, rows, loadC, split);
      else tileEdge(at, kStride, left, b, rows, loadC, split, n, c, spare);
    }
  }
}

function roundRow(row: usize, n: i32): void {
  for (let j: usize = 0; j < <usize>n << 2; j += 16) v128.store(row + j, round12(v128.load(row + j)));
}

/** Scores → p in place; dP → dS in place; both +0 past `seen`. */
function weightsAndSlopes(p: usize, ds: usize, seen: i32, padded: i32, m: f32, inverse: f32, dot: f32, split: bool): void {
  exponentials(p, seen, padded, m);
  const r4 = f32x4.splat(inverse);
  const d4 = f32x4.splat(dot);
  for (let j = 0; j < padded; j += 4) {
    const o = <usize>j << 2;
    const w = f32x4.mul(flush(v128.load(p + o), TINY), r4);
    const slope = flush(f32x4.sub(v128.load(ds + o), d4), TINY);
    const d = f32x4.mul(flush(w, TINY), slope);
    // Precision 12 rounds here, once for the three products; precision 24 when packing.
    v128.store(p + o, split ? w : round12(w));
    v128.store(ds + o, split ? d : round12(d));
  }
  memory.fill(ds + (<usize>seen << 2), 0, <usize>(padded - seen) << 2);
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
