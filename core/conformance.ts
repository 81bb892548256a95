/**
 * @file The conformance suite: every kernel on many shapes, inputs from seeds, a digest of what it leaves in each buffer
 * that it writes. The digests that WASM gives are kept (test/golden/conformance.json); a device that gives the same may
 * be used in exact mode. The same list runs in tests, in other runtimes, in browsers, and (marked `probe`) at start-up.
 */
import type { Device, DeviceBuffer } from "./device.ts";
import { type KernelName, kernels } from "./kernels.ts";

/** What a buffer holds before the call. */
export type Input = Float32Array | Uint32Array;

export interface ConformanceCase {
  kernel: KernelName;
  /** Unique for the kernel. */
  name: string;
  /** In the order of the table. */
  buffers: readonly Input[];
  dims: readonly number[];
  scalars?: readonly number[];
  /** Part of the start-up probe; 24: where that precision is asked for. */
  probe?: boolean | 24;
}

export interface ConformanceResult {
  kernel: KernelName;
  case: string;
  /** 16 hexadecimal digits over every written buffer. */
  digest: string;
}

/** Deterministic numbers in (−scale, scale). */
export function noise(n: number, seed: number, scale = 1): Float32Array {
  let s = (Math.imul(seed, 0x9e3779b1) + 12345) >>> 0;
  return Float32Array.from({ length: n }, () => {
    s = (Math.imul(s, 1664525) + 1013904223) >>> 0;
    return (s / 2147483648 - 1) * scale;
  });
}

/** Every size of number that a kernel may meet, and some that it must count as 0: ±2^-60 … ±2^60, 0, subnormals. */
function extremes(n: number, seed: number): Float32Array {
  const x = noise(n, seed);
  const sizes = [1, 0, 1e-38, 1.2e-38, 1e-30, 1e-20, 8.9e-16, 8.8e-16, 1e-10, 1e-5, 100, 1e4];
  return x.map((v, i) => v * sizes[(i * 7 + seed) % sizes.length]);
}

function words(...values: number[]): Uint32Array {
  return Uint32Array.from(values);
}

function blank(n: number): Float32Array {
  return new Float32Array(n);
}

function positive(x: Float32Array): Float32Array {
  return x.map((v) => Math.abs(v));
}

const f = Math.fround;

function* pointwise(): Generator<ConformanceCase> {
  for (const n of [1, 67, 1000]) {
    const probe = n === 67;
    yield { kernel: "fill", name: `n ${n}`, buffers: [blank(n)], dims: [n], scalars: [0.7] };
    yield { kernel: "copy", name: `n ${n}`, buffers: [blank(n), noise(n, 1)], dims: [n] };
    yield { kernel: "add", name: `n ${n}`, buffers: [noise(n, 1), noise(n, 2)], dims: [n], probe };
    yield { kernel: "scale", name: `n ${n}`, buffers: [extremes(n, 3)], dims: [n], scalars: [f(0.3)], probe };
    const gate = noise(n, 4, 10);
    yield { kernel: "swiglu_fwd", name: `n ${n}`, buffers: [blank(n), gate, noise(n, 5)], dims: [n], probe };
    yield {
      kernel: "swiglu_bwd",
      name: `n ${n}`,
      buffers: [blank(n), blank(n), noise(n, 6), gate, noise(n, 5)],
      dims: [n],
      probe,
    };
  }
  const n = 240;
  const far = noise(n, 8, 120);
  yield { kernel: "swiglu_fwd", name: "extremes", buffers: [blank(n), extremes(n, 7), far], dims: [n] };
  yield { kernel: "swiglu_fwd", name: "far", buffers: [blank(n), far, noise(n, 9)], dims: [n] };
  yield {
    kernel: "swiglu_bwd",
    name: "extremes",
    buffers: [blank(n), blank(n), extremes(n, 10), far, extremes(n, 11)],
    dims: [n],
  };
  yield { kernel: "add", name: "nothing", buffers: [noise(4, 1), noise(4, 2)], dims: [0] };
  for (const [rows, heads, dim] of [
    [1, 1, 2],
    [5, 3, 6],
    [9, 2, 64],
    [0, 2, 8],
  ]) {
    for (const inverse of [0, 1]) {
      const half = dim / 2;
      yield {
        kernel: "rope",
        name: `${rows} rows, ${heads} heads of ${dim}${inverse ? ", back" : ""}`,
        buffers: [
          noise(Math.max(1, rows * heads * dim), 12, 3),
          noise(16 * half, 13),
          noise(16 * half, 14),
          Uint32Array.from({ length: Math.max(1, rows) }, (_, r) => (r * 5) % 16),
        ],
        dims: [rows, heads, dim, inverse],
        probe: rows === 5,
      };
    }
  }
  for (const [rows, width] of [
    [1, 1],
    [7, 5],
    [3, 130],
    [0, 4],
  ]) {
    const index = Uint32Array.from({ length: rows + 2 }, (_, r) => (r * 3 + 1) % 11);
    const big = noise(11 * width, 15);
    const small = noise(Math.max(1, rows * width), 16);
    const shape = `${rows} rows of ${width}`;
    yield { kernel: "gather_rows", name: shape, buffers: [small, big, index], dims: [rows, width, 2] };
    yield { kernel: "scatter_rows", name: shape, buffers: [big, small, index], dims: [rows, width, 1] };
    yield { kernel: "scatter_add_rows", name: shape, buffers: [big, small, index], dims: [rows, width] };
  }
  for (const width of [1, 33]) {
    yield {
      kernel: "embed_bwd",
      name: `3 tokens, width ${width}`,
      buffers: [
        noise(5 * width, 17),
        noise(8 * width, 18),
        words(4, 0, 2),
        words(0, 3, 4, 8),
        words(0, 5, 7, 1, 2, 3, 4, 6),
      ],
      dims: [3, width],
      probe: width === 33,
    };
  }
}

function* matmuls(): Generator<ConformanceCase> {
  const shapes = [
    [1, 1, 1],
    [1, 33, 7],
    [5, 3, 40],
    [32, 32, 16],
    [33, 37, 65],
    [7, 70, 257],
    [261, 250, 19],
  ];
  for (const [m, n, k] of shapes) {
    for (const precision of [12, 24]) {
      for (const layout of [0, 1, 2, 3]) {
        const mode = (layout + precision / 12) % 3;
        const [aRow, aK] = layout & 1 ? [1, m] : [k, 1];
        const [bK, bCol] = layout & 2 ? [1, k] : [n, 1];
        yield {
          kernel: "matmul",
          name: `${m}×${n}×${k}, layout ${layout}, mode ${mode}, precision ${precision}`,
          buffers: [noise(m * n, 20), noise(m * k, 21), noise(k * n, 22), noise(n, 23)],
          dims: [m, n, k, aRow, aK, bK, bCol, n, mode, precision],
          probe: (m === 33 && layout < 2) || (m === 261 && precision === 12 && layout === 0),
        };
      }
    }
  }
  for (const precision of [12, 24]) {
    yield {
      kernel: "matmul",
      name: `long, precision ${precision}`,
      buffers: [blank(9), noise(3 * 3000, 24), noise(3 * 3000, 25), blank(1)],
      dims: [3, 3, 3000, 3000, 1, 1, 3000, 3, 0, precision],
    };
    yield {
      kernel: "matmul",
      name: `extremes, precision ${precision}`,
      buffers: [noise(400, 26), extremes(20 * 50, 27), extremes(20 * 50, 28), blank(1)],
      dims: [20, 20, 50, 50, 1, 1, 50, 20, 1, precision],
      probe: true,
    };
    yield {
      kernel: "matmul",
      name: `rows further apart than wide, precision ${precision}`,
      buffers: [noise(6 * 12, 29), noise(6 * 8, 30), noise(8 * 9, 31), noise(9, 32)],
      dims: [6, 9, 8, 8, 1, 1, 8, 12, 2, precision],
    };
    // The WASM backend's blocks are 512 each way.
    yield {
      kernel: "matmul",
      name: `more than a block each way, precision ${precision}`,
      buffers: [blank(7 * 530), noise(7 * 530, 35), noise(530 * 530, 36), blank(1)],
      dims: [7, 530, 530, 530, 1, 530, 1, 530, 0, precision],
    };
    for (const mode of [0, 1, 2]) {
      yield {
        kernel: "matmul",
        name: `nothing inside, mode ${mode}, precision ${precision}`,
        buffers: [noise(6, 33), blank(1), blank(1), noise(3, 34)],
        dims: [2, 3, 0, 1, 1, 1, 1, 3, mode, precision],
      };
    }
  }
}

function* reductions(): Generator<ConformanceCase> {
  for (const n of [1, 63, 64, 65, 4096, 9001]) {
    yield {
      kernel: "sumsq",
      name: `n ${n}`,
      buffers: [blank(5), noise(n, 40)],
      dims: [n, 1],
      probe: n === 65,
    };
  }
  yield { kernel: "sumsq", name: "extremes", buffers: [blank(1), extremes(500, 41)], dims: [500, 0], probe: true };
  for (const [rows, n] of [
    [1, 1],
    [17, 5],
    [40, 129],
    [0, 3],
  ]) {
    yield {
      kernel: "bias_bwd",
      name: `${rows} rows of ${n}`,
      buffers: [noise(n, 42), noise(Math.max(1, rows * n), 43)],
      dims: [rows, n],
      probe: rows === 17,
    };
  }
  for (const n of [1, 1000, 70000]) {
    yield {
      kernel: "digest",
      name: `n ${n}`,
      buffers: [words(0, 0, 5, 6), new Uint32Array(noise(n, 44).buffer)],
      dims: [n, 1],
      probe: n === 1000,
    };
  }
}

function* norms(): Generator<ConformanceCase> {
  for (const [rows, n] of [
    [1, 1],
    [3, 8],
    [5, 65],
    [2, 300],
    [0, 8],
  ]) {
    const size = Math.max(1, rows * n);
    const x = noise(size, 50, 2);
    const rstd = positive(noise(Math.max(1, rows), 51)).map((v) => v + 0.5);
    const invN = f(1 / n);
    const probe = n === 65;
    const shape = `${rows} rows of ${n}`;
    yield {
      kernel: "rmsnorm_fwd",
      name: shape,
      buffers: [blank(size), blank(rstd.length), x, noise(n, 52)],
      dims: [rows, n],
      scalars: [f(1e-5), invN],
      probe,
    };
    for (const accumulate of [0, 1]) {
      yield {
        kernel: "rmsnorm_bwd",
        name: `${shape}${accumulate ? ", accumulating" : ""}`,
        buffers: [noise(size, 53), noise(size, 54), x, noise(n, 52), rstd],
        dims: [rows, n, accumulate],
        scalars: [invN],
        probe,
      };
    }
    yield {
      kernel: "rmsnorm_dw",
      name: shape,
      buffers: [noise(n, 55), noise(size, 54), x, rstd],
      dims: [rows, n],
      probe,
    };
  }
  const [rows, n] = [4, 90];
  const scalars = [f(1e-6), f(1 / n)];
  const x = extremes(rows * n, 56);
  yield {
    kernel: "rmsnorm_fwd",
    name: "extremes",
    buffers: [blank(rows * n), blank(rows), x, noise(n, 57)],
    dims: [rows, n],
    scalars,
  };
  yield {
    kernel: "rmsnorm_bwd",
    name: "extremes",
    buffers: [blank(rows * n), extremes(rows * n, 58), x, noise(n, 57), positive(noise(rows, 59))],
    dims: [rows, n, 0],
    scalars: [scalars[1]],
  };
}

interface AttentionShape {
  name: string;
  /** Queries and keys of segment 0 and 1, sequence by sequence. */
  sequences: readonly (readonly [queries: number, first: number, second: number])[];
  heads: number;
  kvHeads: number;
  dim: number;
  /** The precision with which it is part of the probe: of the four pipelines, the plainest and the largest. */
  probe?: 12 | 24;
}

const attentionShapes: readonly AttentionShape[] = [
  { name: "one token", sequences: [[1, 0, 1]], heads: 1, kvHeads: 1, dim: 2 },
  { name: "ragged with an empty one", sequences: [[5, 0, 5], [0, 0, 0], [33, 0, 33]], heads: 4, kvHeads: 2, dim: 6 }, // biome-ignore format: a table
  { name: "more than a tile", sequences: [[70, 0, 70], [3, 0, 3]], heads: 3, kvHeads: 1, dim: 16, probe: 12 }, // biome-ignore format: a table
  { name: "wide head", sequences: [[10, 0, 10]], heads: 2, kvHeads: 2, dim: 80, probe: 24 },
];

const cachedShapes: readonly AttentionShape[] = [
  { name: "decoding, prefix shared", sequences: [[1, 9, 3], [1, 9, 70], [1, 0, 1]], heads: 6, kvHeads: 2, dim: 8, probe: 12 }, // biome-ignore format: a table
  { name: "prefill after a prefix", sequences: [[12, 5, 12], [4, 66, 7]], heads: 2, kvHeads: 1, dim: 20 }, // biome-ignore format: a table
];

function attentionInputs({ sequences, heads, kvHeads, dim }: AttentionShape, spread: number) {
  const table: number[] = [];
  let row = 0;
  let key = 0;
  for (const [queries, first, second] of sequences) {
    // Segment 0 of all is the beginning of the cache.
    table.push(row, queries, 0, first, 100 + key, second);
    row += queries;
    key += second;
  }
  const keys = sequences.some(([, first]) => first > 0) ? 100 + key : key;
  if (keys === key) for (let s = 0; s < sequences.length; s++) table[6 * s + 4] -= 100;
  const maxKeys = sequences.reduce((most, [, first, second]) => Math.max(most, first + second), 0);
  return {
    rows: row,
    q: noise(row * heads * dim, 60, spread),
    k: noise(keys * kvHeads * dim, 61, spread),
    v: noise(keys * kvHeads * dim, 62),
    table: Uint32Array.from(table),
    dims: [sequences.length, heads, kvHeads, dim, maxKeys],
    scale: f(1 / Math.sqrt(dim)),
  };
}

function* attentions(): Generator<ConformanceCase> {
  for (const precision of [12, 24]) {
    for (const shape of [...attentionShapes, ...cachedShapes]) {
      const { rows, q, k, v, table, dims, scale } = attentionInputs(shape, 2);
      yield {
        kernel: "attention_fwd",
        name: `${shape.name}, precision ${precision}`,
        buffers: [blank(q.length), blank(2 * rows * shape.heads), q, k, v, table],
        dims: [...dims, precision],
        scalars: [scale],
        probe: shape.probe === precision && (precision === 24 ? 24 : true),
      };
    }
    const { rows, q, k, v, table, dims, scale } = attentionInputs(attentionShapes[1], 40);
    yield {
      kernel: "attention_fwd",
      name: `far scores, precision ${precision}`,
      buffers: [blank(q.length), blank(2 * rows * 4), q, k, v, table],
      dims: [...dims, precision],
      scalars: [scale],
    };
    for (const shape of attentionShapes) {
      const { rows, q, k, v, table, dims, scale } = attentionInputs(shape, 2);
      // The statistics need not be those of these inputs; they need to be of their size.
      const stats = noise(2 * rows * shape.heads, 63).map((x, i) => (i % 2 === 0 ? 3 + x : 0.05 + 0.04 * x));
      const [dout, out] = [noise(q.length, 64), noise(q.length, 65)];
      yield {
        kernel: "attention_bwd",
        name: `${shape.name}, precision ${precision}`,
        buffers: [blank(q.length), blank(k.length), blank(v.length), dout, out, stats, q, k, v, table],
        dims: [...dims, precision],
        scalars: [scale],
        probe: shape.probe === precision && (precision === 24 ? 24 : true),
      };
    }
  }
}

function* vocabularies(): Generator<ConformanceCase> {
  for (const [rows, vocab, offset] of [
    [1, 1, 0],
    [2, 5, 1],
    [3, 64, 0],
    [4, 131, 2],
    [1, 9000, 0],
  ]) {
    const ld = Math.ceil(vocab / 4) * 4;
    const all = rows + offset;
    const targets = Uint32Array.from({ length: all }, (_, r) => (r * 37) % vocab);
    const shape = `${rows} rows of ${vocab}`;
    const probe = vocab === 131;
    const z = () => noise(rows * ld, 70, 6);
    yield {
      kernel: "logprob_fwd",
      name: shape,
      buffers: [blank(all), blank(all), blank(4 * all), z(), targets],
      dims: [rows, vocab, ld, offset],
      scalars: [f(1 / 0.7)],
      probe,
    };
    const stats = Float32Array.from({ length: 4 * all }, (_, i) => [f(8.5), f(0.01), f(4.6), f(3.1)][i % 4]);
    yield {
      kernel: "logprob_bwd",
      name: shape,
      buffers: [z(), stats, targets, noise(all, 71), noise(all, 72, 0.01)],
      dims: [rows, vocab, ld, offset],
      scalars: [f(1 / 0.7)],
      probe,
    };
    for (const [name, greedy, topK, topP, minP] of [
      ["greedy", 1, 0, 1, 0],
      ["plain", 0, 0, 1, 0],
      ["top-k", 0, 3, 1, 0],
      ["top-p", 0, 0, 0.8, 0],
      ["all cuts", 0, 20, 0.9, 0.05],
    ] as const) {
      if (vocab === 9000 && (greedy || topK === 3)) continue;
      const uniforms = Float32Array.from({ length: rows }, (_, r) => [0.37, 0, 0.99999994, 0.82][r % 4]);
      yield {
        kernel: "sample",
        name: `${shape}, ${name}`,
        buffers: [new Uint32Array(rows), blank(rows), blank(rows), z(), uniforms],
        dims: [rows, vocab, ld, greedy, topK],
        scalars: [f(1 / 0.7), f(topP), f(minP)],
        probe: probe && name === "all cuts",
      };
    }
  }
  yield {
    kernel: "logprob_fwd",
    name: "far logits",
    buffers: [blank(2), blank(2), blank(8), noise(2 * 200, 73, 300), words(7, 199)],
    dims: [2, 200, 200, 0],
    scalars: [1],
  };
  yield {
    kernel: "sample",
    name: "equal logits, greedy",
    buffers: [new Uint32Array(1), blank(1), blank(1), blank(100).fill(1.5, 40), blank(1)],
    dims: [1, 100, 100, 1, 0],
    scalars: [1, 1, 0],
  };
}

function* optimizers(): Generator<ConformanceCase> {
  for (const [name, n, gradient] of [
    ["one", 1, noise(1, 80)],
    ["odd", 333, noise(333, 81, 0.01)],
    ["extremes", 240, extremes(240, 82)],
  ] as const) {
    const scalars = [1e-3, 0.9, 1 - 0.9, 0.99, 1 - 0.99, 1 / (1 - 0.9), 1 / (1 - 0.99), 1e-8, 1 - 1e-5, 0.5].map(f);
    yield {
      kernel: "adamw",
      name,
      // Padded as devices may pad: only the first n words are meant.
      buffers: [noise(n, 83), gradient, noise(n, 84, 0.01), positive(noise(n, 85, 1e-4))],
      dims: [n],
      scalars,
      probe: n === 333,
    };
  }
}

/** The cases of some kernels, of all by default, in a fixed order. */
export function conformanceCases(only?: readonly KernelName[]): ConformanceCase[] {
  const all = [
    ...pointwise(),
    ...matmuls(),
    ...reductions(),
    ...norms(),
    ...attentions(),
    ...vocabularies(),
    ...optimizers(),
  ];
  return only ? all.filter(({ kernel }) => only.includes(kernel)) : all;
}

/** 64 bits of a buffer's words as 16 hexadecimal digits: two independent multiplicative hashes. */
export function digestWords(data: Uint32Array, seed: readonly [number, number] = [0, 0]): [number, number] {
  let [a, b] = [seed[0] ^ 0x811c9dc5, seed[1] ^ 0x6a09e667];
  for (let i = 0; i < data.length; i++) {
    a = Math.imul(a ^ data[i], 0x01000193);
    a ^= a >>> 15;
    b = Math.imul(b + data[i], 0x85ebca6b);
    b ^= b >>> 13;
  }
  return [a >>> 0, b >>> 0];
}

/** Runs one case; every buffer that the table calls written is read back and digested. */
export async function runCase(device: Device, { kernel, buffers, dims, scalars = [] }: ConformanceCase) {
  const held: DeviceBuffer[] = buffers.map((data, i) => {
    const buffer = device.alloc(data.length, `${kernel} ${i}`);
    device.write(buffer, data);
    return buffer;
  });
  device.run(kernel, ...held, ...dims, ...scalars);
  const outputs: Uint32Array[] = [];
  for (const [i, access] of Object.values(kernels[kernel].buffers).entries()) {
    if (access !== "r") outputs.push(await device.readU32(held[i]));
  }
  for (const buffer of held) device.free(buffer);
  return outputs;
}

/** One digest over all outputs of a case. */
export function digestOf(outputs: readonly Uint32Array[]): string {
  let digest: [number, number] = [0, 0];
  for (const output of outputs) digest = digestWords(output, digest);
  return digest.map((word) => word.toString(16).padStart(8, "0")).join("");
}

/** @param cases default: all */
export async function conformance(
  device: Device,
  cases: readonly ConformanceCase[] = conformanceCases(),
): Promise<ConformanceResult[]> {
  const results: ConformanceResult[] = [];
  for (const one of cases) {
    results.push({ kernel: one.kernel, case: one.name, digest: digestOf(await runCase(device, one)) });
  }
  return results;
}

/** The name under which a case's digest is kept. */
export function caseKey({ kernel, name }: { kernel: string; name: string }): string {
  return `${kernel}: ${name}`;
}
