/** @file Rotary frequencies (RoFormer, 2104.09864) with the scalings of linear interpolation and Llama 3.1. */
import type { Numeric } from "../math.ts";
import type { ModelConfig } from "./config.ts";

/** headDim / 2 angular frequencies, radians a position; f64. */
export function ropeFrequencies(config: ModelConfig, math: Pick<Numeric, "f64_pow">): Float64Array {
  const { headDim, ropeTheta, ropeScaling } = config;
  const base = Float64Array.from({ length: headDim / 2 }, (_, d) => 1 / math.f64_pow(ropeTheta, (2 * d) / headDim));
  if (!ropeScaling) return base;
  if (ropeScaling.type === "linear") return base.map((f) => f / ropeScaling.factor);
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = ropeScaling;
  return base.map((f) => {
    const turns = (originalMaxPositions * f) / (2 * Math.PI);
    if (turns > highFreqFactor) return f;
    if (turns < lowFreqFactor) return f / factor;
    const smooth = (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
    return ((1 - smooth) * f) / factor + smooth * f;
  });
}
