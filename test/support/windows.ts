/** @file Kernel calls on buffers larger than a binding of WINDOW_WORDS words: each kernel that may be cut, and how. */
import { type ConformanceCase, noise } from "../../core/conformance.ts";

export const WINDOW_WORDS = 4096;

const f = Math.fround;
const blank = (n: number) => new Float32Array(n);
const positive = (n: number, seed: number, scale = 1) => noise(n, seed, scale).map((x) => Math.abs(x) + 1e-3);
/** Distinct rows of a table of 300, in no order. */
const picked = (n: number) => Uint32Array.from({ length: n }, (_, i) => (i * 77 + 13) % 300);

const flat = 10_001;
const [V, D, T] = [256, 24, 150];

export const windowCases: readonly ConformanceCase[] = [
  { kernel: "fill", name: "", buffers: [blank(flat)], dims: [flat], scalars: [0.7] },
  { kernel: "copy", name: "", buffers: [blank(flat), noise(flat, 1)], dims: [flat] },
  { kernel: "add", name: "", buffers: [noise(flat, 1), noise(flat, 2)], dims: [flat] },
  { kernel: "scale", name: "", buffers: [noise(flat, 3)], dims: [flat], scalars: [f(0.3)] },
  { kernel: "swiglu_fwd", name: "", buffers: [blank(flat), noise(flat, 4, 9), noise(flat, 5)], dims: [flat] },
  {
    kernel: "swiglu_bwd",
    name: "",
    buffers: [blank(flat), blank(flat), noise(flat, 6), noise(flat, 4, 9), noise(flat, 5)],
    dims: [flat],
  },
  {
    kernel: "adamw",
    name: "",
    buffers: [noise(flat, 7), noise(flat, 8, 0.01), noise(flat, 9, 0.01), positive(flat, 10, 1e-4)],
    dims: [flat],
    scalars: [1e-3, 0.9, 0.1, 0.99, 0.01, 10, 100, 1e-8, 0.999, 0.5].map(f),
  },
  { kernel: "sumsq", name: "", buffers: [blank(8), noise(20_000, 11)], dims: [20_000, 2] },
  {
    kernel: "digest",
    name: "",
    buffers: [new Uint32Array(4), new Uint32Array(noise(20_000, 12).buffer)],
    dims: [20_000, 1],
  },
  {
    kernel: "rope",
    name: "",
    buffers: [noise(130 * 64, 13), noise(256, 14), noise(256, 15), Uint32Array.from({ length: 130 }, (_, i) => i % 16)],
    dims: [130, 2, 32, 0],
  },
  { kernel: "gather_rows", name: "", buffers: [blank(260 * 20), noise(6000, 16), picked(265)], dims: [260, 20, 5] },
  {
    kernel: "scatter_rows",
    name: "",
    buffers: [noise(6000, 17), noise(260 * 20, 18), picked(265)],
    dims: [260, 20, 5],
  },
  {
    kernel: "scatter_add_rows",
    name: "",
    buffers: [noise(6000, 17), noise(260 * 20, 18), picked(260)],
    dims: [260, 20],
  },
  {
    kernel: "embed_bwd",
    name: "",
    buffers: [
      noise(6000, 19),
      noise(150 * 20, 20),
      picked(75),
      Uint32Array.from({ length: 76 }, (_, i) => 2 * i),
      Uint32Array.from({ length: 150 }, (_, i) => (i * 7) % 150),
    ],
    dims: [75, 20],
  },
  { kernel: "bias_bwd", name: "", buffers: [noise(60, 21), noise(150 * 60, 22)], dims: [150, 60] },
  {
    kernel: "rmsnorm_fwd",
    name: "",
    buffers: [blank(T * 40), blank(T), noise(T * 40, 23), noise(40, 24)],
    dims: [T, 40],
    scalars: [f(1e-5), f(1 / 40)],
  },
  {
    kernel: "rmsnorm_bwd",
    name: "",
    buffers: [noise(T * 40, 25), noise(T * 40, 26), noise(T * 40, 23), noise(40, 24), positive(T, 27)],
    dims: [T, 40, 1],
    scalars: [f(1 / 40)],
  },
  {
    kernel: "rmsnorm_dw",
    name: "",
    buffers: [noise(40, 28), noise(T * 40, 26), noise(T * 40, 23), positive(T, 27)],
    dims: [T, 40],
  },
  {
    kernel: "logprob_fwd",
    name: "",
    buffers: [blank(45), blank(45), blank(180), noise(40 * 132, 29, 6), Uint32Array.from({ length: 45 }, (_, i) => 2 * i)], // biome-ignore format: a table
    dims: [40, 131, 132, 5],
    scalars: [f(1 / 0.7)],
  },
  {
    kernel: "logprob_bwd",
    name: "",
    buffers: [noise(40 * 132, 29, 6), positive(180, 30), Uint32Array.from({ length: 45 }, (_, i) => 2 * i), noise(45, 31), noise(45, 32)], // biome-ignore format: a table
    dims: [40, 131, 132, 5],
    scalars: [f(1 / 0.7)],
  },
  {
    kernel: "sample",
    name: "",
    buffers: [new Uint32Array(140), blank(140), blank(140), noise(140 * 44, 33, 4), positive(140, 34, 0.9)],
    dims: [140, 43, 44, 0, 20],
    scalars: [f(1 / 0.7), f(0.9), f(0.05)],
  },
  // The three products of a vocabulary of 256: rows, columns, and the inner k are cut.
  {
    kernel: "matmul",
    name: "logits",
    buffers: [blank(T * V), noise(T * D, 35), noise(V * D, 36), noise(V, 37)],
    dims: [T, V, D, D, 1, 1, D, V, 2, 12],
  },
  {
    kernel: "matmul",
    name: "gradient of what is before, precision 24",
    buffers: [blank(T * D), noise(T * V, 38), noise(V * D, 36), blank(1)],
    dims: [T, D, V, V, 1, D, 1, D, 0, 24],
  },
  {
    kernel: "matmul",
    name: "gradient of the weights",
    buffers: [noise(V * D, 39), noise(T * V, 38), noise(T * D, 35), blank(1)],
    dims: [V, D, T, 1, V, D, 1, D, 1, 12],
  },
];
