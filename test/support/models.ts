/** @file Small models for tests, with weights that are not at their start (norms and biases vary, adapters are not zero). */
import type { Device, Precision } from "../../core/device.ts";
import type { Numeric } from "../../core/math.ts";
import { type ModelConfig, modelConfig } from "../../core/model/config.ts";
import { addLora, newModel } from "../../core/model/load.ts";
import { byteTokenizer } from "../../core/model/tokenizer.ts";
import type { Transformer } from "../../core/model/transformer.ts";
import { noise } from "./reference.ts";

export const shapes: Record<string, Partial<ModelConfig>> = {
  llama: { architecture: "llama", heads: 4, kvHeads: 2, headDim: 6, hiddenSize: 20, intermediateSize: 28 },
  "llama, untied, all biases": {
    heads: 2,
    kvHeads: 2,
    headDim: 8,
    hiddenSize: 16,
    intermediateSize: 20,
    tieWordEmbeddings: false,
    attentionBias: true,
    attentionOutputBias: true,
    mlpBias: true,
  },
  qwen2: {
    architecture: "qwen2",
    heads: 4,
    kvHeads: 1,
    headDim: 4,
    hiddenSize: 16,
    intermediateSize: 24,
    attentionBias: true,
  },
  qwen3: {
    architecture: "qwen3",
    heads: 2,
    kvHeads: 1,
    headDim: 10,
    hiddenSize: 12,
    intermediateSize: 16,
    qkNorm: true,
  },
};

export function smallModel(
  device: Device & Numeric,
  shape: string,
  precision: Precision,
  options: { lora?: boolean; vocabSize?: number; layers?: number } = {},
): Transformer {
  const config = modelConfig({
    vocabSize: options.vocabSize ?? 37,
    layers: options.layers ?? 2,
    maxPositions: 128,
    initializerRange: 0.3,
    ...shapes[shape],
  });
  const { model } = newModel(device, device, config, byteTokenizer(), 7, { precision });
  let seed = 11;
  for (const p of model.parameters.values()) {
    if (p.kind === "norm")
      device.write(
        p.value,
        noise(p.size, seed++, 0.3).map((x) => 1 + x),
      );
    if (p.kind === "bias") device.write(p.value, noise(p.size, seed++, 0.3));
  }
  if (options.lora) {
    addLora(model, device, { rank: 3, alpha: 6, targetModules: "all-linear", rankStabilized: false }, 5);
    for (const { b } of model.lora!.pairs.values()) device.write(b.value, noise(b.size, seed++, 0.2));
  }
  return model;
}
