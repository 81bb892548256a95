/**
 * @file A kernel call on buffers that are larger than what an adapter binds at once, as several calls on windows of them.
 *
 * A call is cut along an axis: rows that do not meet, elements, or the inner k of a product, whose accumulator goes on from
 * what the piece before left in C. Kernels that pick rows of a table by index (embeddings, caches) run once for each
 * window of the table and leave out the rows that lie elsewhere. Order and bits are those of the one call.
 */
import type { KernelName } from "./kernels.ts";

type Numbers = Readonly<Record<string, number>>;

/** Part of a buffer, in words. */
export interface Window {
  offset: number;
  words: number;
}

export interface WindowedCall {
  dims: Numbers;
  windows: Readonly<Record<string, Window>>;
  /** Place of the window's first row or element in its buffer: for kernels that look places up or hash them. */
  first: number;
}

/** A way to cut a call in pieces of `length` units. */
interface Axis {
  count: number;
  /** Pieces begin at multiples of it. */
  unit?: number;
  /** A piece takes length · step + rest words of a buffer, the next one begins length · step words on; others stay whole. */
  spans: Readonly<Record<string, readonly [step: number, rest: number]>>;
  /** What changes for the piece that begins at `at`. */
  piece(at: number, length: number): { dims?: Numbers; first?: number };
}

const rowsOf = (labels: readonly string[], width: number): Axis["spans"] =>
  Object.fromEntries(labels.map((label) => [label, [width, 0]] as const));

const flat =
  (...labels: string[]) =>
  ({ dims: { n } }: WindowedCall): Axis[] => [
    { count: n, spans: rowsOf(labels, 1), piece: (_, length) => ({ dims: { n: length } }) },
  ];

/** A table whose rows are picked by index. */
const table = (label: string, { dims, windows, first }: WindowedCall): Axis => ({
  count: Math.floor(windows[label].words / dims.width),
  spans: rowsOf([label], dims.width),
  piece: (at) => ({ first: first + at }),
});

const vocabulary = ({ dims: { rows, ld, offset } }: WindowedCall): Axis[] => [
  { count: rows, spans: rowsOf(["z"], ld), piece: (at, length) => ({ dims: { rows: length, offset: offset + at } }) },
];

const normRows =
  (...labels: string[]) =>
  ({ dims: { rows, n } }: WindowedCall): Axis[] => [
    {
      count: rows,
      spans: { ...rowsOf(labels, n), rstd: [1, 0] },
      piece: (_, length) => ({ dims: { rows: length } }),
    },
  ];

/** Axes along which a kernel may be cut; a kernel that is not here takes whole buffers. */
const axesOf: Partial<Record<KernelName, (call: WindowedCall) => Axis[]>> = {
  fill: flat("out"),
  copy: flat("out", "x"),
  add: flat("out", "x"),
  scale: flat("x"),
  swiglu_fwd: flat("out", "gate", "up"),
  swiglu_bwd: flat("dgate", "dup", "dh", "gate", "up"),
  adamw: flat("p", "g", "m", "v"),
  sumsq: ({ dims: { n, offset } }) => [
    {
      count: n,
      unit: 4096,
      spans: rowsOf(["x"], 1),
      piece: (at, length) => ({ dims: { n: length, offset: offset + at / 4096 } }),
    },
  ],
  digest: ({ dims: { n }, first }) => [
    { count: n, spans: rowsOf(["x"], 1), piece: (at, length) => ({ dims: { n: length }, first: first + at }) },
  ],
  rope: ({ dims: { rows, heads, dim } }) => [
    {
      count: rows,
      spans: { x: [heads * dim, 0], positions: [1, 0] },
      piece: (_, length) => ({ dims: { rows: length } }),
    },
  ],
  gather_rows: (call) => {
    const { rows, width, offset } = call.dims;
    const piece = (at: number, length: number) => ({ dims: { rows: length, offset: offset + at } });
    return [{ count: rows, spans: rowsOf(["out"], width), piece }, table("x", call)];
  },
  scatter_rows: (call) => {
    const { rows, width, offset } = call.dims;
    const piece = (at: number, length: number) => ({ dims: { rows: length, offset: offset + at } });
    return [{ count: rows, spans: rowsOf(["x"], width), piece }, table("out", call)];
  },
  scatter_add_rows: (call) => {
    const { rows, width } = call.dims;
    const piece = (_: number, length: number) => ({ dims: { rows: length } });
    return [{ count: rows, spans: { x: [width, 0], index: [1, 0] }, piece }, table("out", call)];
  },
  embed_bwd: (call) => [table("dst", call)],
  bias_bwd: ({ dims: { rows, n } }) => [
    { count: rows, spans: rowsOf(["dy"], n), piece: (_, length) => ({ dims: { rows: length } }) },
  ],
  rmsnorm_fwd: normRows("y", "x"),
  rmsnorm_bwd: normRows("dx", "dy", "x"),
  rmsnorm_dw: normRows("dy", "x"),
  logprob_fwd: vocabulary,
  logprob_bwd: vocabulary,
  sample: ({ dims: { rows, ld } }) => [
    {
      count: rows,
      spans: { ...rowsOf(["ids", "logp", "entropy", "uniforms"], 1), z: [ld, 0] },
      piece: (_, length) => ({ dims: { rows: length } }),
    },
  ],
  matmul: ({ dims: { m, n, k, aRow, aK, bK, bCol, ldc, mode } }): Axis[] => [
    {
      count: m,
      spans: { c: [ldc, n - ldc], a: [aRow, (k - 1) * aK + 1 - aRow] },
      piece: (_, length) => ({ dims: { m: length } }),
    },
    {
      count: n,
      spans: {
        c: [1, (m - 1) * ldc],
        b: [bCol, (k - 1) * bK + 1 - bCol],
        ...(mode === 2 && { bias: [1, 0] as const }),
      },
      piece: (_, length) => ({ dims: { n: length } }),
    },
    {
      count: k,
      spans: { a: [aK, (m - 1) * aRow + 1 - aK], b: [bK, (n - 1) * bCol + 1 - bK] },
      // Pieces after the first go on from what is in C.
      piece: (at, length) => ({ dims: { k: length, mode: at === 0 ? mode : 1 } }),
    },
  ],
};

export const windowedKernels = /* @__PURE__ */ Object.keys(axesOf) as KernelName[];

/** Multiples of the result are multiples of `align` after multiplication by `step`; `align` is a power of two. */
function alignedUnit(step: number, align: number): number {
  let unit = align;
  while (unit > 1 && ((unit / 2) * step) % align === 0) unit /= 2;
  return unit;
}

/**
 * The calls whose buffers' windows all have at most `limit` words and begin at multiples of `align` words.
 * @returns the label of a buffer that cannot be cut so, where there is one
 */
export function windowsOf(name: KernelName, call: WindowedCall, limit: number, align: number): WindowedCall[] | string {
  const over = Object.keys(call.windows).find((label) => call.windows[label].words > limit);
  if (over === undefined) return [call];
  for (const { count, unit: least = 1, spans, piece } of axesOf[name]?.(call) ?? []) {
    if (!(over in spans)) continue;
    const unit = Object.values(spans).reduce((most, [step]) => Math.max(most, alignedUnit(step, align)), least);
    const [step, rest] = spans[over];
    const length = Math.floor((limit - rest) / step / unit) * unit;
    if (length < 1) continue;
    const calls: WindowedCall[] = [];
    let at = 0;
    do {
      const own = Math.min(length, count - at);
      const { dims = {}, first = call.first } = piece(at, own);
      const windows: Record<string, Window> = { ...call.windows };
      for (const [label, [by, more]] of Object.entries(spans)) {
        const { offset, words } = windows[label];
        windows[label] = { offset: offset + at * by, words: Math.min(words - at * by, Math.max(1, own * by + more)) };
      }
      const cut = windowsOf(name, { dims: { ...call.dims, ...dims }, windows, first }, limit, align);
      if (typeof cut === "string") return cut;
      calls.push(...cut);
      at += length;
    } while (at < count);
    return calls;
  }
  return over;
}
