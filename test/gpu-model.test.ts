/** A whole model, stories260K: the same bits on WASM and on WebGPU (Dawn, SwiftShader), sampled, scored, trained. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { noise } from "../core/conformance.ts";
import type { Device } from "../core/device.ts";
import type { Numeric } from "../core/math.ts";
import { loadModel, makeTrainable } from "../core/model/load.ts";
import { AdamW } from "../core/model/optimizer.ts";
import { pack } from "../core/model/pack.ts";
import { digest } from "../core/model/parameters.ts";
import { streams } from "../core/rng.ts";
import { generate } from "../core/rollout.ts";
import { nodeStorage } from "../hosts/storage.ts";
import { cpu } from "./support/devices.ts";
import { softwareAdapter, softwareGpu } from "./support/gpu.ts";

const dir = join(import.meta.dirname, "../../shared/models/stories260K");
const skip = !existsSync(dir) ? "no ../shared/models/stories260K" : (await softwareAdapter()) ? null : "no SwiftShader";

async function run(device: Device, numeric: Numeric) {
  const { model, tokenizer, stopIds } = await loadModel(device, numeric, nodeStorage(), dir, { precision: 12 });
  makeTrainable(model);
  const prompts = ["Once upon a time", "The dog"].map((text) => tokenizer.encode(text));
  const options = { maxTokens: 16, temperature: 0.9, topK: 40, topP: 0.95, minP: 0.01, stopIds };
  const drawn = await generate(model, prompts, 4, options, { seed: 3, stream: streams.sample, step: 0 });
  const sequences = drawn.map(({ prompt, ids }) => ({
    ids: [...prompts[prompt], ...ids],
    from: prompts[prompt].length,
  }));
  const packed = pack(sequences, model.maxTokens, model.config.vocabSize);
  const scores = await model.score(packed, 0.9);
  const optimizer = new AdamW(device, numeric, model.trainable, {
    learningRate: 1e-3,
    schedule: "constant",
    warmupSteps: 0,
    weightDecay: 0.01,
    beta1: 0.9,
    beta2: 0.95,
    epsilon: 1e-8,
    maxGradNorm: 1,
  });
  model.beginStep([packed]);
  const n = packed.rows.length;
  const trained = await model.forwardBackward(packed, noise(n, 1, 0.1), noise(n, 2, 0.01), 0.9);
  model.endStep();
  const step = await optimizer.step(10);
  const result = {
    ids: drawn.map((c) => c.ids),
    sampled: drawn.flatMap((c) => [...c.logp]),
    entropy: drawn.flatMap((c) => [...c.entropy]),
    scored: [...scores.logp],
    trained: [...trained.logp],
    gradNorm: step.gradNorm,
    digest: await digest(device, model.all),
  };
  model.close();
  return result;
}

describe.skipIf(skip)(`stories260K on WebGPU${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test("samples, scores, gradients and weights have the bits of WASM", { timeout: 300_000 }, async () => {
    const wasm = await cpu(2);
    const want = await run(wasm, wasm);
    // Bindings so small that the embedding and the logits are worked on in windows.
    const gpu = (await softwareGpu({ maxBinding: 2 ** 16 }))!;
    const got = await run(gpu, wasm);
    expect(got).toEqual(want);
    expect(got.sampled).toEqual(got.scored);
    expect(gpu.fault).toBeNull();
    gpu.close();
    gpu.gpu.destroy();
    wasm.close();
  });
});
