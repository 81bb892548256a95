/**
 * Deno: products of `precision: "fast"` on its adapter (wgpu) against sums in f64. For each product: the greatest ratio of
 * its error to what its operands allow (at most 1 is right), and whether its bits are those of f32 operands. Forward
 * products stage f16 where the adapter has it: an operand is off by at most 2^-11 of itself, a product of two by 2^-10.
 */
import { GpuDevice } from "../../hosts/gpu.ts";

export interface FastResults {
  half: boolean;
  subgroups: boolean;
  products: { name: string; forward: boolean; worst: number; likeF32: boolean }[];
}

/** Repeatable numbers in (−1, 1). */
function noise(length: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

export async function fastProducts(adapter: GPUAdapter): Promise<FastResults> {
  // The layouts of hardware: those of shaders/software stage nothing.
  const fast = await GpuDevice.create(adapter, { fast: true, software: false });
  const half = fast.gpu.features.has("shader-f16");
  const plain = new Proxy(fast.gpu, {
    get(gpu, key) {
      if (key === "features") return new Set([...gpu.features].filter((feature) => feature !== "shader-f16"));
      const value = Reflect.get(gpu, key);
      return typeof value === "function" ? value.bind(gpu) : value;
    },
  });
  const f32 = new GpuDevice(plain, { fast: true, software: false });
  const products: FastResults["products"] = [];
  for (const [m, n, k] of [
    [5, 7, 33],
    [260, 260, 40],
  ]) {
    for (const forward of [true, false]) {
      const [a, b] = [noise(m * k, 1), noise(k * n, 2)];
      const [bK, bCol] = forward ? [1, k] : [n, 1];
      const results: Float32Array[] = [];
      for (const device of [fast, f32]) {
        const buffers = [new Float32Array(m * n), a, b, new Float32Array(n)].map((data) => {
          const buffer = device.alloc(data.length, "operand");
          device.write(buffer, data);
          return buffer;
        });
        device.run("matmul", ...buffers, m, n, k, k, 1, bK, bCol, n, 0, 12);
        results.push(await device.readF32(buffers[0]));
        for (const buffer of buffers) device.free(buffer);
      }
      let worst = 0;
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          let [sum, size] = [0, 0];
          for (let kk = 0; kk < k; kk++) {
            const term = a[i * k + kk] * b[kk * bK + j * bCol];
            sum += term;
            size += Math.abs(term);
          }
          const allowed = (half && forward ? size * 2 ** -10 * 1.01 : 0) + 1e-5 * Math.sqrt(k) + 1e-6;
          worst = Math.max(worst, Math.abs(results[0][i * n + j] - sum) / allowed);
        }
      }
      const likeF32 = results[0].every((x, i) => x === results[1][i]);
      products.push({ name: `${m}×${n}×${k}`, forward, worst, likeF32 });
    }
  }
  const subgroups = fast.gpu.features.has("subgroups");
  f32.close();
  fast.close();
  return { half, subgroups, products };
}
