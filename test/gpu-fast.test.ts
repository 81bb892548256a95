/**
 * `precision: "fast"` on WebGPU against float-accurate WASM (precision 24): products of all layouts, a model's scores and
 * gradients, each within its tolerance; and that it is indeed another path. SwiftShader has subgroups and no f16; the f16
 * text is compiled and run where an adapter has it (test/deno/fast.ts, llvmpipe).
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Device } from "../core/device.ts";
import type { Numeric } from "../core/math.ts";
import { makeTrainable } from "../core/model/load.ts";
import { pack } from "../core/model/pack.ts";
import { planOf } from "../core/plan.ts";
import { shaderModule } from "../core/shader.ts";
import type { CpuDevice } from "../hosts/cpu.ts";
import { GpuDevice } from "../hosts/gpu.ts";
import { all, NOT_ASKED } from "./support/all.ts";
import { cpu } from "./support/devices.ts";
import { softwareAdapter, softwareGpu } from "./support/gpu.ts";
import { smallModel } from "./support/models.ts";
import { noise } from "./support/reference.ts";

const adapter = await softwareAdapter();

describe.skipIf(!adapter)(`fast kernels${adapter ? "" : " (skipped: no SwiftShader)"}`, () => {
  let exact: CpuDevice;
  let fast: GpuDevice;
  let hardware: GpuDevice;
  beforeAll(async () => {
    exact = await cpu(1);
    fast = (await softwareGpu({ fast: true }))!;
    // SwiftShader itself has shaders/software for products.
    hardware = new GpuDevice(fast.gpu, { fast: true, software: false });
  });
  afterAll(() => {
    exact?.close();
    hardware?.close();
    fast?.close();
  });

  test("products of every layout and mode as on hardware, odd sizes and both tiles", async ({ skip }) => {
    if (!all) skip(NOT_ASKED);
    for (const [m, n, k] of [
      [1, 1, 1],
      [5, 7, 33],
      [70, 65, 40],
      [260, 260, 17],
    ]) {
      for (const [aT, bT, mode] of [
        [false, true, 0],
        [false, false, 1],
        [true, false, 1],
        [false, true, 2],
      ] as const) {
        const data = [noise(m * n, 1), noise(m * k, 2), noise(k * n, 3), noise(n, 4)];
        const results: Float32Array[] = [];
        for (const d of [exact, hardware] as Device[]) {
          const buffers = data.map((x) => {
            const b = d.alloc(x.length, "x");
            d.write(b, x);
            return b;
          });
          const [aRow, aK] = aT ? [1, m] : [k, 1];
          const [bK, bCol] = bT ? [1, k] : [n, 1];
          d.run("matmul", ...buffers, m, n, k, aRow, aK, bK, bCol, n, mode, 24);
          results.push(await d.readF32(buffers[0]));
          for (const b of buffers) d.free(b);
        }
        results[0].forEach((want, i) => {
          expect(Math.abs(results[1][i] - want)).toBeLessThan(1e-5 * Math.sqrt(k) + 1e-6);
        });
      }
    }
  });

  for (const shape of ["llama", "qwen3"]) {
    test(`scores and gradients of ${shape} within 1e-4 of the largest`, async () => {
      const sequences = [
        { ids: [1, 5, 9, 9, 2, 30, 7, 5], from: 3 },
        { ids: Array.from({ length: 50 }, (_, i) => (i * 5 + 1) % 37), from: 1 },
      ];
      const out: { logp: Float32Array; entropy: Float32Array; grads: Map<string, Float32Array> }[] = [];
      for (const device of [exact, fast]) {
        // Weights are made on the CPU: the same start on both.
        const both = new Proxy(device, {
          get(target, key) {
            const own = Reflect.get(target, key);
            const value = own ?? Reflect.get(exact, key);
            return typeof value === "function" ? value.bind(own ? target : exact) : value;
          },
        }) as unknown as Device & Numeric;
        const model = smallModel(both, shape, 24);
        makeTrainable(model);
        const packed = pack(sequences, 128, 37);
        model.beginStep([packed]);
        const n = packed.rows.length;
        const scores = await model.forwardBackward(packed, noise(n, 1, 0.1), noise(n, 2, 0.01), 0.9);
        model.endStep();
        const grads = new Map<string, Float32Array>();
        for (const p of model.trainable) grads.set(p.name, await device.readF32(p.grad!));
        out.push({ ...scores, grads });
        model.close();
      }
      const close = (a: Float32Array, b: Float32Array, what: string) => {
        const largest = a.reduce((x, y) => Math.max(x, Math.abs(y)), 1e-3);
        a.forEach((want, i) => {
          expect(Math.abs(b[i] - want), `${what}[${i}]`).toBeLessThan(1e-4 * largest);
        });
      };
      close(out[0].logp, out[1].logp, "logp");
      close(out[0].entropy, out[1].entropy, "entropy");
      for (const [name, grad] of out[0].grads) close(grad, out[1].grads.get(name)!, name);
      // Not the exact kernels under another name.
      const differs = [...out[0].grads].some(([name, g]) => g.some((x, i) => x !== out[1].grads.get(name)![i]));
      expect(differs).toBe(true);
    });
  }

  test("exact modules hold nothing of the fast ones; f16 is staged in forward products alone", () => {
    const dims = { m: 8, n: 8, k: 8, aRow: 8, aK: 1, bK: 1, bCol: 8, ldc: 8, mode: 0, precision: 12 };
    const plan = planOf("matmul", ["c", "a", "b", "bias"], { words: { c: 64, a: 64, b: 64, bias: 8 }, dims });
    expect(shaderModule("matmul", plan)).not.toMatch(/enable|Staged|fma\(/);
    expect(shaderModule("matmul", plan, { subgroups: true, half: true })).toMatch(/^enable f16;[\s\S]*vec4<f16>/);
    expect(shaderModule("matmul", plan, { subgroups: true, half: false })).not.toMatch(/enable f16|vec4<f16>/);
    const norm = planOf("rmsnorm_fwd", ["y"], { words: { y: 1 }, dims: { rows: 1, n: 1 } });
    expect(shaderModule("rmsnorm_fwd", norm, { subgroups: true, half: false })).toMatch(/^enable subgroups;/);
    expect(shaderModule("rmsnorm_fwd", norm, { subgroups: false, half: false })).not.toMatch(/subgroup/);
  });
});
