/** AdamW, clipping, schedules, merging of adapters, digests. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeTrainable, mergeLora } from "../core/model/load.ts";
import { AdamW, learningRateAt, type OptimizerOptions } from "../core/model/optimizer.ts";
import { pack } from "../core/model/pack.ts";
import { digest } from "../core/model/parameters.ts";
import type { CpuDevice } from "../hosts/cpu.ts";
import { cpu } from "./support/devices.ts";
import { smallModel } from "./support/models.ts";
import { noise } from "./support/reference.ts";

let device: CpuDevice;
beforeAll(async () => {
  device = await cpu(2);
});
afterAll(() => device.close());

const options: OptimizerOptions = {
  learningRate: 0.01,
  schedule: "constant",
  warmupSteps: 0,
  weightDecay: 0.1,
  beta1: 0.9,
  beta2: 0.99,
  epsilon: 1e-8,
  maxGradNorm: 1,
};

test("AdamW with clipping and decay agrees with float64 over five steps", async () => {
  const n = 5000;
  const start = noise(n, 1);
  const value = device.alloc(n, "p");
  const grad = device.alloc(n, "g");
  device.write(value, start);
  const parameter = { name: "w", shape: [n], kind: "linear" as const, size: n, value, grad };
  const optimizer = new AdamW(device, device, [parameter], options);
  const p = Float64Array.from(start);
  const m = new Float64Array(n);
  const v = new Float64Array(n);
  for (let t = 1; t <= 5; t++) {
    const g = noise(n, 10 + t, t === 2 ? 1e-4 : 1);
    device.write(grad, g);
    const norm = Math.sqrt(g.reduce((a, x) => a + x * x, 0));
    const { gradNorm } = await optimizer.step(5);
    expect(Math.abs(gradNorm / norm - 1)).toBeLessThan(1e-6);
    const scale = norm > 1 ? 1 / (norm + 1e-6) : 1;
    for (let i = 0; i < n; i++) {
      const x = g[i] * scale;
      m[i] = 0.9 * m[i] + 0.1 * x;
      v[i] = 0.99 * v[i] + 0.01 * x * x;
      const update = m[i] / (1 - 0.9 ** t) / (Math.sqrt(v[i] / (1 - 0.99 ** t)) + 1e-8);
      p[i] = p[i] * (1 - 0.01 * 0.1) - 0.01 * update;
    }
  }
  const got = await device.readF32(value);
  got.forEach((x, i) => {
    expect(Math.abs(x - p[i])).toBeLessThan(2e-6);
  });
});

test("a gradient that is not finite is named", async () => {
  const model = smallModel(device, "llama", 12);
  makeTrainable(model);
  const optimizer = new AdamW(device, device, model.trainable, options);
  model.beginStep([]);
  model.endStep();
  const bad = model.parameters.get("model.layers.1.mlp.up_proj.weight")!;
  device.write(bad.grad!, Float32Array.of(Number.POSITIVE_INFINITY), 5);
  await expect(optimizer.step(1)).rejects.toThrow(/layers\.1\.mlp\.up_proj\.weight is not finite/);
  optimizer.close();
  model.close();
});

test("schedules: warm-up, linear and cosine", () => {
  const at = (schedule: OptimizerOptions["schedule"], t: number) =>
    learningRateAt({ ...options, learningRate: 1, schedule, warmupSteps: 4 }, t, 14, device);
  expect([1, 2, 4].map((t) => at("linear", t))).toEqual([0.25, 0.5, 1]);
  expect(at("linear", 5)).toBe(1);
  expect(at("linear", 10)).toBeCloseTo(0.5, 12);
  expect(at("linear", 14)).toBeCloseTo(0.1, 12);
  expect(at("cosine", 10)).toBeCloseTo(0.5, 12);
  expect(at("constant", 14)).toBe(1);
});

test("merged adapters score as beside the base", async () => {
  const model = smallModel(device, "qwen2", 24, { lora: true });
  const packed = pack([{ ids: [1, 2, 3, 4, 5, 6, 7], from: 1 }], 128, 37);
  const before = await model.score(packed);
  mergeLora(model);
  const after = await model.score(packed);
  after.logp.forEach((x, i) => {
    expect(Math.abs(x - before.logp[i])).toBeLessThan(1e-4);
  });
  model.close();
});

test("a digest changes with any bit of any parameter, and with nothing else", async () => {
  const model = smallModel(device, "llama", 12);
  const first = await digest(device, model.all);
  expect(first).toMatch(/^[0-9a-f]{16}$/);
  expect(await digest(device, model.all)).toBe(first);
  const p = model.parameters.get("model.norm.weight")!;
  const kept = await device.readF32(p.value);
  const words = new Uint32Array(kept.buffer.slice(0));
  words[3] ^= 1;
  device.write(p.value, words);
  expect(await digest(device, model.all)).not.toBe(first);
  // Two elements exchanged: a sum of hashes would miss it if place did not count.
  const swapped = kept.slice();
  [swapped[0], swapped[1]] = [swapped[1], swapped[0]];
  device.write(p.value, swapped);
  expect(await digest(device, model.all)).not.toBe(first);
  device.write(p.value, kept);
  expect(await digest(device, model.all)).toBe(first);
  model.close();
});
