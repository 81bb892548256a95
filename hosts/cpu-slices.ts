/**
 * @file Into how many slices the WASM backend cuts a command for its threads: a slice is worth asking for, and there are
 * several for each thread, so that one that is disturbed, or a smaller core, takes fewer. No choice made here changes a bit.
 */
import type { FormName, KernelName } from "../core/kernels.ts";

/** A slice at least, ns; a command that takes less than two of them is not shared. */
const LEAST = 2_000;
/** Slices for each thread at most. */
const MOST = 16;
/** Rows or columns of a product that a slice has at least: below that, packing the other operand shows. */
const ROWS = 20;
const COLUMNS = 128;

/** About how long a command takes on one thread, ns, from its first five dims in the table's order (Zen 3, plain SIMD). */
const nanoseconds: Readonly<
  Record<KernelName | FormName, (a: number, b: number, c: number, d: number, e: number) => number>
> = {
  fill: (n) => 0.1 * n,
  copy: (n) => 0.2 * n,
  add: (n) => 0.3 * n,
  scale: (n) => 0.3 * n,
  swiglu_fwd: (n) => 5 * n,
  swiglu_bwd: (n) => 6 * n,
  rope: (rows, heads, dim) => 1.5 * rows * heads * dim,
  gather_rows: (rows, width) => rows * (10 + 0.2 * width),
  scatter_rows: (rows, width) => rows * (10 + 0.2 * width),
  scatter_add_rows: (rows, width) => rows * width,
  embed_bwd: (unique, width) => 4 * unique * width,
  rmsnorm_fwd: (rows, n) => rows * (40 + n),
  rmsnorm_bwd: (rows, n) => rows * (60 + 2 * n),
  rmsnorm_dw: (rows, n) => rows * n,
  bias_bwd: (rows, n) => 0.3 * rows * n,
  matmul: (m, n, k) => 0.06 * m * n * k,
  attention_fwd: (sequences, heads, _, dim, keys) => 0.06 * sequences * heads * keys * keys * (30 + dim),
  attention_bwd: (sequences, heads, _, dim, keys) => 0.15 * sequences * heads * keys * keys * (30 + dim),
  attention_kept: (sequences, heads, _, dim, keys) => sequences * heads * keys * (5 + 0.15 * dim),
  logprob_fwd: (rows, vocab) => 5 * rows * vocab,
  logprob_bwd: (rows, vocab) => 4 * rows * vocab,
  sample: (rows, vocab) => 8 * rows * vocab,
  sumsq: (n) => 0.4 * n,
  digest: (n) => 2 * n,
  adamw: (n) => 2 * n,
  pack_right: (n, k) => 0.4 * n * k,
  keep_rows: (rows, width) => rows * width,
  keep_scattered: (rows, width) => rows * (20 + width),
};

/** @param dims of the command, in the table's order, from place `at` of `args` on */
export function slicesOf(name: KernelName | FormName, args: readonly unknown[], at: number, threads: number): number {
  if (threads === 1) return 1;
  const [a, b, c, d, e] = args.slice(at, at + 5) as number[];
  const parts = Math.floor(nanoseconds[name](a, b, c, d, e) / LEAST);
  if (parts < 2) return 1;
  let most = MOST * threads;
  if (name === "matmul") most = a >= ROWS * threads ? a / ROWS : Math.max(threads, b / COLUMNS);
  const slices = Math.min(parts, MOST * threads, Math.floor(most));
  // A few are shared out evenly or not at all well.
  return slices < threads ? slices : slices - (slices % threads);
}
