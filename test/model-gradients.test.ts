/**
 * The decoder against float64: scores, and the gradient of every parameter by finite differences, for each
 * architecture's shapes, with and without adapters, at a temperature.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeTrainable } from "../core/model/load.ts";
import { pack } from "../core/model/pack.ts";
import type { CpuDevice } from "../hosts/cpu.ts";
import { cpu } from "./support/devices.ts";
import { shapes, smallModel } from "./support/models.ts";
import { noise } from "./support/reference.ts";
import { forward64, type Weights } from "./support/transformer64.ts";

let device: CpuDevice;
beforeAll(async () => {
  device = await cpu(2);
});
afterAll(() => device.close());

const sequences = [
  { ids: [1, 5, 9, 9, 2, 30, 7, 5], from: 3 },
  { ids: [4, 36], from: 1 },
  { ids: [8, 8, 8, 1, 0, 12, 13, 14, 15, 16, 17, 18, 5, 9], from: 1 },
];
const temperature = 0.8;

for (const shape of Object.keys(shapes)) {
  for (const lora of [false, true]) {
    describe(`${shape}${lora ? " with LoRA" : ""}`, () => {
      test("scores and gradients agree with float64", async () => {
        const model = smallModel(device, shape, 24, { lora });
        const packed = pack(sequences, model.maxTokens, model.config.vocabSize);
        const scored = packed.rows.length;
        const dlogp = noise(scored, 3);
        const dentropy = noise(scored, 4, 0.5);
        const weights: Weights = new Map();
        for (const p of model.all) weights.set(p.name, Float64Array.from(await device.readF32(p.value)));
        const scale = model.lora ? [...model.lora.pairs.values()][0].scale : undefined;
        const loss = () => {
          let sum = 0;
          let at = 0;
          for (const { ids, from } of sequences) {
            const { logp, entropy } = forward64(model.config, weights, ids, temperature, scale);
            for (let t = from - 1; t < ids.length - 1; t++, at++)
              sum += dlogp[at] * logp[t] + dentropy[at] * entropy[t];
          }
          return sum;
        };
        const scores = await model.score(packed, temperature);
        let at = 0;
        for (const { ids, from } of sequences) {
          const want = forward64(model.config, weights, ids, temperature, scale);
          for (let t = from - 1; t < ids.length - 1; t++, at++) {
            expect(scores.logp[at]).toBeCloseTo(want.logp[t], 4);
            expect(scores.entropy[at]).toBeCloseTo(want.entropy[t], 4);
          }
        }
        makeTrainable(model);
        model.beginStep([packed]);
        const trained = await model.forwardBackward(packed, dlogp, dentropy, temperature);
        model.endStep();
        expect(trained.logp).toEqual(scores.logp);
        expect(model.trainable.length).toBe(lora ? model.lora!.pairs.size * 2 : model.parameters.size);
        for (const p of model.trainable) {
          const grad = await device.readF32(p.grad!);
          const w = weights.get(p.name)!;
          const largest = grad.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
          const tried = Math.min(p.size, 6);
          for (let k = 0; k < tried; k++) {
            const i = Math.min(p.size - 1, Math.floor(((k + 0.5 * (k % 2)) * p.size) / tried));
            const kept = w[i];
            const h = 1e-5;
            w[i] = kept + h;
            const up = loss();
            w[i] = kept - h;
            const down = loss();
            w[i] = kept;
            const want = (up - down) / (2 * h);
            expect(Math.abs(grad[i] - want), `${p.name}[${i}]: ${grad[i]} for ${want}`).toBeLessThan(
              2e-5 * Math.max(largest, 1) + 1e-4 * Math.abs(want),
            );
          }
        }
        model.close();
      });
    });
  }
}
