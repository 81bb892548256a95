/**
 * @file How a kernel call is laid out on a GPU: passes, workgroups, scratch, constants, which text. A function of the
 * arguments and of which kind of adapter it is for; no choice made here changes a bit.
 */
import { CohortError } from "./errors.ts";
import type { KernelName } from "./kernels.ts";

/** One dispatch. */
export interface Pass {
  entry: string;
  /** Labels of the table's row or of the scratch that the entry point uses. */
  buffers: readonly string[];
  workgroups: number;
}

export interface Plan {
  /** The text is shaders/software/<file>.wgsl. */
  software?: boolean;
  /** Constants of the module: each set of values is compiled once. */
  constants: Readonly<Record<string, number | boolean>>;
  /** Words of buffers that live for this call alone. */
  scratch: Readonly<Record<string, number>>;
  passes: readonly Pass[];
}

/** Words of each buffer, values of each dim. */
interface Call {
  words: Readonly<Record<string, number>>;
  dims: Readonly<Record<string, number>>;
}

const up = (n: number, to: number) => Math.ceil(n / to);

/** Dispatches of 64 invocations, one an element. */
const elements = {
  fill: (d) => d.n,
  copy: (d) => d.n,
  add: (d) => d.n,
  scale: (d) => d.n,
  swiglu_fwd: (d) => d.n,
  swiglu_bwd: (d) => d.n,
  rope: (d) => d.rows * d.heads * Math.floor(d.dim / 2),
  gather_rows: (d) => d.rows * d.width,
  scatter_rows: (d) => d.rows * d.width,
  scatter_add_rows: (d) => d.rows * d.width,
  embed_bwd: (d) => d.unique * d.width,
  bias_bwd: (d) => d.n,
  rmsnorm_dw: (d) => d.n,
  logprob_bwd: (d) => d.rows * d.ld,
  adamw: (d) => d.n,
} as const satisfies Partial<Record<KernelName, (dims: Record<string, number>) => number>>;

/** Dispatches of one workgroup a row, chunk or tile. */
const groups = {
  sumsq: (d) => up(d.n, 4096),
  // Each invocation takes some 16 elements, so that few of them meet at the two sums.
  digest: (d) => Math.min(4096, up(d.n, 1024)),
  rmsnorm_fwd: (d) => d.rows,
  rmsnorm_bwd: (d) => d.rows,
  logprob_fwd: (d) => d.rows,
  sample: (d) => d.rows,
} as const satisfies Partial<Record<KernelName, (dims: Record<string, number>) => number>>;

/** Sizes of attention's arrays for this head size and precision. */
function attentionConstants({ dim, precision }: Readonly<Record<string, number>>): Plan["constants"] {
  const split = precision === 24;
  const chunks = up(dim, 64);
  return {
    CHUNKS: chunks,
    DIM2: 128 * chunks,
    SPLIT: split,
    REST_DIM2: split ? 128 * chunks : 1,
    REST_TILE: split ? 128 : 1,
  };
}

/** Groups of four rows that an invocation of shaders/software/matmul.wgsl makes: as many as C fills, in two workgroups. */
function softwareRows(m: number, n: number): number {
  let rows = m > 8 ? 4 : m > 4 ? 2 : 1;
  while (rows > 1 && up(m, 16 * rows) * up(n, 64) < 2) rows /= 2;
  return rows;
}

/**
 * How `name` runs with these arguments; no passes where there is nothing to do.
 * @param software in the layouts of shaders/software where there are such
 */
export function planOf(name: KernelName, labels: readonly string[], { words, dims }: Call, software = false): Plan {
  const one = (workgroups: number, constants: Plan["constants"] = {}): Plan => ({
    constants,
    scratch: {},
    passes: workgroups > 0 ? [{ entry: name, buffers: labels, workgroups }] : [],
  });
  if (name in elements) return one(up(elements[name as keyof typeof elements](dims), 64));
  if (name === "matmul") {
    const split = dims.precision === 24;
    if (software) {
      const rows = softwareRows(dims.m, dims.n);
      const workgroups = up(dims.m, 16 * rows) * up(dims.n, 64);
      return { ...one(workgroups, { SPLIT: split, ROWS: rows }), software };
    }
    // Where a larger tile would leave most of itself empty, or few workgroups, the smaller one.
    const large = dims.m > 32 && dims.n > 32 && up(dims.m, 64) * up(dims.n, 64) >= 16;
    const width = large ? 16 : 8;
    const staged = 16 * width;
    return one(up(dims.m, 4 * width) * up(dims.n, 4 * width), {
      SPLIT: split,
      LARGE: large,
      GROUPS: width,
      STAGED: staged,
      REST: split ? staged : 1,
    });
  }
  if (name in groups) return one(groups[name as keyof typeof groups](dims));
  if (name !== "attention_fwd" && name !== "attention_bwd") {
    throw new CohortError("device", `kernel ${name}: it has no layout on a GPU`, "give it a row in core/plan.ts");
  }
  const { sequences, heads, kvHeads, dim } = dims;
  const constants = attentionConstants(dims);
  // The table is on the device, so the number of blocks is bounded from what q has room for.
  const rows = Math.floor(words.q / (heads * dim));
  const blocks = (slots: number) => kvHeads * (Math.floor((rows * slots) / 8) + sequences);
  if (name === "attention_fwd") return one(sequences === 0 ? 0 : blocks(heads / kvHeads), constants);
  return {
    constants,
    scratch: { rows: 3 * rows * heads },
    passes:
      sequences === 0 || rows === 0
        ? []
        : [
            { entry: "attention_rows", buffers: ["dout", "out", "stats", "rows"], workgroups: rows * heads },
            {
              entry: "attention_dq",
              buffers: ["dq", "dout", "q", "k", "v", "table", "rows"],
              workgroups: blocks(heads / kvHeads),
            },
            {
              entry: "attention_dkv",
              buffers: ["dk", "dv", "dout", "q", "k", "v", "table", "rows"],
              workgroups: blocks(1),
            },
          ],
  };
}
