/** @file How much memory a run takes at most: said before it starts. */
import type { ModelConfig } from "./config.ts";
import { parameterShapes } from "./config.ts";

export interface MemoryNeeds {
  config: ModelConfig;
  /** Parameters that are trained, of the model or of its adapters. */
  trainable: number;
  /** Parameters of adapters. */
  adapters: number;
  /** A second copy of the weights. */
  referenceCopy: boolean;
  /** Tokens of the largest micro-batch, and how many of them are scored. */
  microBatchTokens: number;
  microBatchScored: number;
  /** Rows of the largest key-value cache. */
  cacheRows: number;
  /** Longest sequence. */
  maxTokens: number;
  threads: number;
  /** Whether training passes have noise in their hidden states. */
  noise?: boolean;
}

/** Parameters of a model. */
export function parameterCount(config: ModelConfig): number {
  return parameterShapes(config).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
}

/**
 * Peak bytes of tensors: weights, gradients and two moments of what is trained, then the larger of a micro-batch's
 * activations and the sampler's cache. Activations are linear in tokens; tokens × vocabulary is nowhere.
 */
export function memoryEstimate(needs: MemoryNeeds): number {
  const { config, microBatchTokens: T, microBatchScored: S } = needs;
  const { hiddenSize: C, intermediateSize: I, heads: H, kvHeads: K, headDim: D, layers: L, vocabSize: V } = config;
  const weights = parameterCount(config) * (needs.referenceCopy ? 2 : 1) + needs.adapters + 3 * needs.trainable;
  const heads = (H + 2 * K) * D;
  // What a layer keeps for backward: two residual streams and two norms of them, queries, keys, values (raw too with
  // per-head norms), attention's output and statistics, gate, up and their product.
  const layer =
    4 * C + 2 + heads + (config.qkNorm ? (H + K) * (D + 1) : 0) + H * D + 2 * H + 3 * I + (needs.noise ? C : 0);
  // Gradients alive at once while the largest block runs backward.
  const transient = 3 * C + 3 * I + 2 * heads + H * D;
  const chunk = Math.min(S, Math.max(16, Math.floor(2 ** 20 / V)));
  const training = T * (L * layer + 3 * C + transient + 9) + chunk * (V + 2 * C) + 8 * S;
  // WASM keeps the cache in a second form, and weights in panels (at most 2^28 bytes) while it samples and until they change.
  const sampling = 2 * needs.cacheRows * L * 2 * K * D + 64 * (6 * C + 3 * I + heads + V);
  const angles = needs.maxTokens * D;
  const split = 2;
  const scratch = 2 ** 19 + needs.threads * (4 * needs.maxTokens * D * split + 2 * 32 * needs.maxTokens + 2 ** 15);
  const panels = needs.cacheRows > 0 ? Math.min(2 ** 26, parameterCount(config)) : 0;
  return 4 * (weights + panels + angles + scratch + Math.max(training, sampling));
}
