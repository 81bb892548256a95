/**
 * Every WASM kernel against the slow reference (bits) and against float64 (meaning): forward values and, for the
 * backward kernels, finite differences in kernels-gradients.test.ts.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DeviceBuffer } from "../core/device.ts";
import type { CpuDevice } from "../hosts/cpu.ts";
import { cpu } from "./support/devices.ts";
import { dot, firstDifference, noise, sum64 } from "./support/reference.ts";

let device: CpuDevice;
let two: CpuDevice;
beforeAll(async () => {
  device = await cpu(1);
  two = await cpu(2);
});
afterAll(() => {
  device.close();
  two.close();
});

function put(d: CpuDevice, data: Float32Array | Uint32Array, label = "x") {
  const b = d.alloc(data.length, label);
  d.write(b, data);
  return b;
}

describe("matmul", () => {
  const shape = fc.record({
    m: fc.integer({ min: 1, max: 37 }),
    n: fc.integer({ min: 1, max: 41 }),
    k: fc.oneof(fc.integer({ min: 1, max: 30 }), fc.constantFrom(255, 256, 257, 513)),
    aT: fc.boolean(),
    bT: fc.boolean(),
    mode: fc.constantFrom(0, 1, 2),
    precision: fc.constantFrom(12 as const, 24 as const),
    seed: fc.integer({ min: 1, max: 1000 }),
  });
  test("equals one accumulator, k ascending, on rounded operands, for all layouts and 1 and 2 threads", async () => {
    await fc.assert(
      fc.asyncProperty(shape, async ({ m, n, k, aT, bT, mode, precision, seed }) => {
        const a = noise(m * k, seed);
        const b = noise(k * n, seed + 1);
        const bias = noise(n, seed + 2);
        const c0 = noise(m * n, seed + 3);
        const [aRow, aK] = aT ? [1, m] : [k, 1];
        const [bK, bCol] = bT ? [1, k] : [n, 1];
        const want = new Float32Array(m * n);
        for (let i = 0; i < m; i++) {
          for (let j = 0; j < n; j++) {
            const init = mode === 0 ? 0 : mode === 1 ? c0[i * n + j] : bias[j];
            want[i * n + j] = dot(
              (x) => a[i * aRow + x * aK],
              (x) => b[x * bK + j * bCol],
              k,
              precision,
              init,
            );
          }
        }
        for (const d of [device, two]) {
          const A = put(d, a);
          const B = put(d, b);
          const Z = put(d, bias);
          const C = put(d, c0);
          const product = async (b: typeof B) => {
            d.write(C, c0);
            d.run("matmul", C, A, b, Z, m, n, k, aRow, aK, bK, bCol, n, mode, precision);
            return d.readF32(C);
          };
          // Unpacked, packed at the second use, from the packed form; and no longer from that once b has changed.
          for (let use = 0; use < 3; use++) expect(firstDifference(await product(B), want)).toBe(-1);
          const other = put(d, noise(k * n, seed + 4));
          d.run("copy", B, other, k * n);
          const changed = await product(other);
          for (let use = 0; use < 2; use++) expect(firstDifference(await product(B), changed)).toBe(-1);
          for (const x of [A, B, Z, C, other]) d.free(x);
        }
      }),
      { numRuns: 120 },
    );
  });
  test("more than a block each way: 1, 2 and 3 threads give the bits of the product in pieces within a block", async () => {
    const three = await cpu(3);
    // Few rows: columns are shared among threads. Many: rows.
    for (const [m, n, k, precision] of [
      [7, 1090, 1040, 12],
      [7, 1090, 520, 24],
      [130, 523, 1040, 12],
      [130, 523, 520, 24],
    ] as const) {
      for (const bT of [false, true]) {
        const [bK, bCol] = bT ? [1, k] : [n, 1];
        const a = noise(m * k, 1);
        const b = noise(k * n, 2);
        const bits = async (d: CpuDevice, columns: number) => {
          const [A, B, Z, C] = [put(d, a), put(d, b), put(d, noise(n, 3)), d.alloc(m * n, "c")];
          if (columns === n) d.run("matmul", C, A, B, Z, m, n, k, k, 1, bK, bCol, n, 0, precision);
          else {
            for (let j = 0; j < n; j += columns) {
              for (let x = 0; x < k; x += 300) {
                const [w, depth] = [Math.min(columns, n - j), Math.min(300, k - x)];
                const left = Float32Array.from(
                  { length: m * depth },
                  (_, i) => a[Math.floor(i / depth) * k + x + (i % depth)],
                );
                const right = Float32Array.from(
                  { length: depth * w },
                  (_, i) => b[(x + Math.floor(i / w)) * bK + (j + (i % w)) * bCol],
                );
                const [l, r] = [put(d, left), put(d, right)];
                const part = d.alloc(m * w, "part");
                if (x > 0) d.write(part, await columnsOf(d, C, j, w));
                d.run("matmul", part, l, r, Z, m, w, depth, depth, 1, w, 1, w, x > 0 ? 1 : 0, precision);
                await putColumns(d, C, part, j, w);
                for (const x of [l, r, part]) d.free(x);
              }
            }
          }
          const result = await d.readF32(C);
          for (const x of [A, B, Z, C]) d.free(x);
          return result;
        };
        const columnsOf = async (d: CpuDevice, c: DeviceBuffer, j: number, w: number) => {
          const all = await d.readF32(c);
          return Float32Array.from({ length: m * w }, (_, i) => all[Math.floor(i / w) * n + j + (i % w)]);
        };
        const putColumns = async (d: CpuDevice, c: DeviceBuffer, part: DeviceBuffer, j: number, w: number) => {
          const values = await d.readF32(part);
          for (let i = 0; i < m; i++) d.write(c, values.subarray(i * w, (i + 1) * w), i * n + j);
        };
        const want = await bits(device, 100);
        for (const d of [device, two, three]) expect(firstDifference(await bits(d, n), want)).toBe(-1);
      }
    }
    three.close();
  });
  test("more rows than a block, k over several blocks, accumulating in two halves = at once", async () => {
    const [m, n, k] = [1030, 9, 600];
    const a = put(device, noise(m * k, 5));
    const b = put(device, noise(n * k, 6));
    const z = device.alloc(n, "bias");
    const whole = device.alloc(m * n, "whole");
    device.run("matmul", whole, a, b, z, m, n, k, k, 1, 1, k, n, 0, 12);
    // Split along k by hand: the first part overwrites, the second accumulates.
    const a1 = put(
      device,
      noise(m * k, 5).filter((_, i) => i % k < 333),
    );
    const b1 = put(
      device,
      noise(n * k, 6).filter((_, i) => i % k < 333),
    );
    const a2 = put(
      device,
      noise(m * k, 5).filter((_, i) => i % k >= 333),
    );
    const b2 = put(
      device,
      noise(n * k, 6).filter((_, i) => i % k >= 333),
    );
    const parts = device.alloc(m * n, "parts");
    device.run("matmul", parts, a1, b1, z, m, n, 333, 333, 1, 1, 333, n, 0, 12);
    device.run("matmul", parts, a2, b2, z, m, n, 267, 267, 1, 1, 267, n, 1, 12);
    expect(firstDifference(await device.readF32(parts), await device.readF32(whole))).toBe(-1);
  });
});

describe("sums", () => {
  test("sumsq is 64 lanes and a tree over chunks of 4,096", async () => {
    for (const n of [1, 2, 63, 64, 65, 200, 4096, 4097, 9000]) {
      const x = noise(n, n);
      const chunks = Math.ceil(n / 4096);
      const b = put(device, x);
      const out = device.alloc(chunks, "out");
      device.run("sumsq", out, b, n, 0);
      const want = Float32Array.from({ length: chunks }, (_, c) =>
        sum64(x.subarray(c * 4096, (c + 1) * 4096).map((v) => v * v)),
      );
      expect(firstDifference(await device.readF32(out), want)).toBe(-1);
    }
  });
});

/** Attention in float64, straight from the definition. */
function attention64(
  q: Float32Array,
  k: Float32Array,
  v: Float32Array,
  lengths: number[],
  heads: number,
  kv: number,
  dim: number,
) {
  const out = new Float64Array(q.length);
  let at = 0;
  for (const T of lengths) {
    for (let h = 0; h < heads; h++) {
      const g = Math.floor(h / (heads / kv));
      for (let i = 0; i < T; i++) {
        const s = Array.from({ length: i + 1 }, (_, j) => {
          let x = 0;
          for (let d = 0; d < dim; d++) {
            x += q[((at + i) * heads + h) * dim + d] * k[((at + j) * kv + g) * dim + d];
          }
          return x / Math.sqrt(dim);
        });
        const m = Math.max(...s);
        const e = s.map((x) => Math.exp(x - m));
        const l = e.reduce((a, b) => a + b);
        for (let d = 0; d < dim; d++) {
          let o = 0;
          for (let j = 0; j <= i; j++) o += (e[j] / l) * v[((at + j) * kv + g) * dim + d];
          out[((at + i) * heads + h) * dim + d] = o;
        }
      }
    }
    at += T;
  }
  return out;
}

describe("attention", () => {
  const shape = fc.record({
    lengths: fc.array(fc.integer({ min: 0, max: 75 }), { minLength: 1, maxLength: 4 }),
    kv: fc.constantFrom(1, 2, 3),
    group: fc.constantFrom(1, 2, 3),
    dim: fc.constantFrom(2, 4, 6, 8, 16, 20),
    seed: fc.integer({ min: 1, max: 1000 }),
  });
  test("forward agrees with float64 (precision 24), and decoding with a two-segment cache gives the same bits", async () => {
    await fc.assert(
      fc.asyncProperty(shape, async ({ lengths, kv, group, dim, seed }) => {
        const heads = kv * group;
        const T = lengths.reduce((a, b) => a + b, 0);
        if (T === 0) return;
        const q = noise(T * heads * dim, seed, 3);
        const k = noise(T * kv * dim, seed + 1, 3);
        const v = noise(T * kv * dim, seed + 2);
        const starts = lengths.map((_, i) => lengths.slice(0, i).reduce((a, b) => a + b, 0));
        const table = Uint32Array.from(lengths.flatMap((n, i) => [starts[i], n, 0, 0, starts[i], n]));
        const scale = Math.fround(1 / Math.sqrt(dim));
        const maxKeys = Math.max(...lengths);
        for (const precision of [24, 12]) {
          const results: Float32Array[] = [];
          for (const d of [device, two]) {
            const bufs = [d.alloc(q.length, "o"), d.alloc(T * heads * 2, "s"), put(d, q), put(d, k), put(d, v)];
            const t = put(d, table);
            d.run("attention_fwd", ...bufs, t, lengths.length, heads, kv, dim, maxKeys, precision, scale);
            results.push(await d.readF32(bufs[0]));
            // One query at a time; the first keys of each sequence in segment 0, the rest in segment 1.
            const rows: number[] = [];
            lengths.forEach((n, i) => {
              for (let r = 0; r < n; r++) {
                const first = Math.min(r, 5);
                rows.push(starts[i] + r, 1, starts[i], first, starts[i] + first, r + 1 - first);
              }
            });
            const t2 = put(d, Uint32Array.from(rows));
            d.run("attention_fwd", ...bufs, t2, rows.length / 6, heads, kv, dim, maxKeys, precision, scale);
            results.push(await d.readF32(bufs[0]));
            for (const b of [...bufs, t, t2]) d.free(b);
          }
          for (const r of results) expect(firstDifference(r, results[0])).toBe(-1);
          const want = attention64(q, k, v, lengths, heads, kv, dim);
          const tolerance = precision === 24 ? 3e-6 : 5e-3;
          results[0].forEach((x, i) => {
            expect(Math.abs(x - want[i])).toBeLessThan(tolerance);
          });
        }
      }),
      { numRuns: 40 },
    );
  });

  test("decoding through a cache, row by row, gives the bits of one pass over all rows", async () => {
    const [sequences, prefix, own] = [3, 5, 21];
    // Groups of two, three and one; dims that fill vectors of eight and dims that do not.
    for (const [heads, kv, dim] of [
      [4, 2, 6],
      [4, 2, 8],
      [6, 2, 20],
      [3, 3, 8],
    ]) {
      const [wide, width] = [heads * dim, kv * dim];
      // Each sequence whole, prefix first, as training lays it out.
      const n = prefix + own;
      const q = noise(sequences * n * wide, dim, 3);
      const [k, v] = [7, 8].map((seed) => {
        const x = noise(sequences * n * width, seed, 3);
        for (let s = 1; s < sequences; s++) x.copyWithin(s * n * width, 0, prefix * width);
        return x;
      });
      const scale = Math.fround(1 / Math.sqrt(dim));
      for (const d of [device, two]) {
        const whole = [
          d.alloc(q.length, "o"),
          d.alloc(sequences * n * heads * 2, "s"),
          put(d, q),
          put(d, k),
          put(d, v),
        ];
        const rows = Array.from({ length: sequences }, (_, s) => [s * n, n, 0, 0, s * n, n]).flat();
        const t = put(d, Uint32Array.from(rows));
        d.run("attention_fwd", ...whole, t, sequences, heads, kv, dim, n, 12, scale);
        const want = await d.readF32(whole[0]);
        for (const align of [8, 1]) {
          const up = (x: number) => Math.ceil(x / align) * align;
          const start = (s: number) => up(prefix) + s * up(own);
          const caches = [k, v].map((x) => put(d, x.subarray(0, prefix * width)));
          const grown = caches.map(() => d.alloc((up(prefix) + sequences * up(own)) * width, "cache"));
          const first = put(
            d,
            Uint32Array.from({ length: prefix }, (_, r) => r),
          );
          grown.forEach((cache, i) => {
            d.run("scatter_rows", cache, caches[i], first, prefix, width, 0);
          });
          const bufs = [d.alloc(sequences * wide, "o"), d.alloc(sequences * heads * 2, "s")];
          for (let step = 0; step < own; step++) {
            const pick = (x: Float32Array, size: number) =>
              put(
                d,
                Float32Array.from(
                  { length: sequences * size },
                  (_, i) => x[((i / size) | 0) * n * size + (prefix + step) * size + (i % size)],
                ),
              );
            const [qs, ks, vs] = [pick(q, wide), pick(k, width), pick(v, width)];
            const index = put(
              d,
              Uint32Array.from({ length: sequences }, (_, s) => start(s) + step),
            );
            d.run("scatter_rows", grown[0], ks, index, sequences, width, 0);
            d.run("scatter_rows", grown[1], vs, index, sequences, width, 0);
            // Written in another way: what was kept of it is no longer true.
            if (step === 9) d.write(grown[0], await d.readF32(grown[0]));
            const entries = Array.from({ length: sequences }, (_, s) => [s, 1, 0, prefix, start(s), step + 1]).flat();
            const table = put(d, Uint32Array.from(entries));
            d.run(
              "attention_fwd",
              ...bufs,
              qs,
              ...grown,
              table,
              sequences,
              heads,
              kv,
              dim,
              prefix + step + 1,
              12,
              scale,
            );
            const got = await d.readF32(bufs[0]);
            for (let s = 0; s < sequences; s++) {
              const at = (s * n + prefix + step) * wide;
              expect(firstDifference(got.slice(s * wide, (s + 1) * wide), want.slice(at, at + wide))).toBe(-1);
            }
            for (const x of [qs, ks, vs, index, table]) d.free(x);
          }
          for (const x of [...caches, ...grown, first, ...bufs]) d.free(x);
        }
        for (const x of [...whole, t]) d.free(x);
      }
    }
  });
});
