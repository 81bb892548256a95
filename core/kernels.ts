/**
 * @file The table of kernels: what each is called with, written once.
 *
 * From it come the AssemblyScript dispatcher (core/wasm/generated/dispatch.ts), the binding prologue of every WGSL
 * shader, and the types of `Device.run`. A kernel's arguments are its buffers, then its dims (u32), then its scalars
 * (f32), in the order below; core/wasm/<file>.ts takes them in the same order under the same names.
 * "w" = overwritten, "rw" = read and written, "r" = read.
 */

export type Access = "r" | "w" | "rw";

export interface Kernel {
  /** Source file in core/wasm and shaders. */
  readonly file: string;
  readonly buffers: Readonly<Record<string, Access>>;
  /** Element type of buffers that do not hold f32. */
  readonly integers?: readonly string[];
  /** Integer buffers that many invocations add to at once. */
  readonly atomics?: readonly string[];
  readonly dims: readonly string[];
  readonly scalars?: readonly string[];
}

const table = {
  fill: { file: "pointwise", buffers: { out: "w" }, dims: ["n"], scalars: ["value"] },
  copy: { file: "pointwise", buffers: { out: "w", x: "r" }, dims: ["n"] },
  add: { file: "pointwise", buffers: { out: "rw", x: "r" }, dims: ["n"] },
  scale: { file: "pointwise", buffers: { x: "rw" }, dims: ["n"], scalars: ["s"] },
  swiglu_fwd: { file: "pointwise", buffers: { out: "w", gate: "r", up: "r" }, dims: ["n"] },
  swiglu_bwd: {
    file: "pointwise",
    buffers: { dgate: "w", dup: "w", dh: "r", gate: "r", up: "r" },
    dims: ["n"],
  },
  rope: {
    file: "pointwise",
    buffers: { x: "rw", cos: "r", sin: "r", positions: "r" },
    integers: ["positions"],
    dims: ["rows", "heads", "dim", "inverse"],
  },
  gather_rows: {
    file: "pointwise",
    buffers: { out: "w", x: "r", index: "r" },
    integers: ["index"],
    dims: ["rows", "width", "offset"],
  },
  scatter_rows: {
    file: "pointwise",
    buffers: { out: "rw", x: "r", index: "r" },
    integers: ["index"],
    dims: ["rows", "width", "offset"],
  },
  scatter_add_rows: {
    file: "pointwise",
    buffers: { out: "rw", x: "r", index: "r" },
    integers: ["index"],
    dims: ["rows", "width"],
  },
  embed_bwd: {
    file: "pointwise",
    buffers: { dst: "rw", dx: "r", slots: "r", starts: "r", order: "r" },
    integers: ["slots", "starts", "order"],
    dims: ["unique", "width"],
  },
  matmul: {
    file: "matmul",
    buffers: { c: "rw", a: "r", b: "r", bias: "r" },
    dims: ["m", "n", "k", "aRow", "aK", "bK", "bCol", "ldc", "mode", "precision"],
  },
  bias_bwd: { file: "reduce", buffers: { db: "rw", dy: "r" }, dims: ["rows", "n"] },
  sumsq: { file: "reduce", buffers: { out: "rw", x: "r" }, dims: ["n", "offset"] },
  digest: {
    file: "reduce",
    buffers: { out: "rw", x: "r" },
    integers: ["out", "x"],
    atomics: ["out"],
    dims: ["n", "slot"],
  },
  rmsnorm_fwd: {
    file: "norm",
    buffers: { y: "w", rstd: "w", x: "r", w: "r" },
    dims: ["rows", "n"],
    scalars: ["eps", "invN"],
  },
  rmsnorm_bwd: {
    file: "norm",
    buffers: { dx: "rw", dy: "r", x: "r", w: "r", rstd: "r" },
    dims: ["rows", "n", "accumulate"],
    scalars: ["invN"],
  },
  rmsnorm_dw: { file: "norm", buffers: { dw: "rw", dy: "r", x: "r", rstd: "r" }, dims: ["rows", "n"] },
  attention_fwd: {
    file: "attention",
    buffers: { out: "w", stats: "w", q: "r", k: "r", v: "r", table: "r" },
    integers: ["table"],
    dims: ["sequences", "heads", "kvHeads", "dim", "maxKeys", "precision"],
    scalars: ["scale"],
  },
  attention_bwd: {
    file: "attention",
    buffers: {
      dq: "w",
      dk: "w",
      dv: "w",
      dout: "r",
      out: "r",
      stats: "r",
      q: "r",
      k: "r",
      v: "r",
      table: "r",
    },
    integers: ["table"],
    dims: ["sequences", "heads", "kvHeads", "dim", "maxKeys", "precision"],
    scalars: ["scale"],
  },
  logprob_fwd: {
    file: "vocabulary",
    buffers: { logp: "rw", entropy: "rw", stats: "rw", z: "rw", targets: "r" },
    integers: ["targets"],
    dims: ["rows", "vocab", "ld", "offset"],
    scalars: ["invT"],
  },
  logprob_bwd: {
    file: "vocabulary",
    buffers: { z: "rw", stats: "r", targets: "r", dlogp: "r", dentropy: "r" },
    integers: ["targets"],
    dims: ["rows", "vocab", "ld", "offset"],
    scalars: ["invT"],
  },
  sample: {
    file: "vocabulary",
    buffers: { ids: "w", logp: "w", entropy: "w", z: "rw", uniforms: "r" },
    integers: ["ids"],
    dims: ["rows", "vocab", "ld", "greedy", "topK"],
    scalars: ["invT", "topP", "minP"],
  },
  adamw: {
    file: "optimizer",
    buffers: { p: "rw", g: "r", m: "rw", v: "rw" },
    dims: ["n"],
    scalars: ["lr", "beta1", "rest1", "beta2", "rest2", "c1", "c2", "eps", "decay", "gradScale"],
  },
} as const satisfies Record<string, Kernel>;

/**
 * Commands that the WASM backend gives itself, never a caller: other forms of what kernels read often. Their results are
 * read by kernels of the table alone, so that no other backend needs them.
 */
const forms = {
  pack_right: {
    file: "matmul",
    buffers: { out: "w", b: "r" },
    dims: ["n", "k", "bK", "bCol", "precision"],
  },
  keep_rows: {
    file: "attention",
    buffers: { kept: "rw", x: "r" },
    dims: ["rows", "width", "dim", "byKey"],
  },
  keep_scattered: {
    file: "attention",
    buffers: { kept: "rw", x: "r", index: "r" },
    integers: ["index"],
    dims: ["rows", "width", "offset", "dim", "byKey"],
  },
  attention_kept: {
    file: "attention",
    buffers: { out: "w", stats: "w", q: "r", k: "r", v: "r", keptKeys: "r", keptValues: "r", table: "r" },
    integers: ["table"],
    dims: ["sequences", "heads", "kvHeads", "dim", "maxKeys", "precision"],
    scalars: ["scale"],
  },
} as const satisfies Record<string, Kernel>;

export type KernelName = keyof typeof table;
export const kernels: Readonly<Record<KernelName, Kernel>> = table;
export const kernelNames = Object.keys(table) as KernelName[];

export type FormName = keyof typeof forms;
/** All that the WASM dispatcher knows, in the order of its numbers. */
export const commands: Readonly<Record<KernelName | FormName, Kernel>> = { ...table, ...forms };
export const commandNames = Object.keys(commands) as (KernelName | FormName)[];
