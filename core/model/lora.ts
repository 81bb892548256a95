/** @file LoRA adapters on a device: y += s · (x Aᵀ) Bᵀ beside a frozen linear layer (arXiv 2106.09685). */
import type { Device } from "../device.ts";
import type { LoraConfig } from "./adapter.ts";
import type { Parameter } from "./parameters.ts";

export interface LoraPair {
  /** [rank, in] */
  readonly a: Parameter;
  /** [out, rank] */
  readonly b: Parameter;
  readonly rank: number;
  /** s = alpha / rank (or alpha / √rank). */
  readonly scale: number;
}

export interface Lora {
  readonly config: LoraConfig;
  /** By the name of the linear layer, without ".weight". */
  readonly pairs: ReadonlyMap<string, LoraPair>;
  /** Off: the model answers as its frozen base (the reference policy). */
  enabled: boolean;
}

/** PEFT's name of a parameter of the adapter of `module`. */
export function adapterName(module: string, which: "A" | "B"): string {
  return `base_model.model.${module}.lora_${which}.weight`;
}

export function adapterParameter(
  device: Device,
  name: string,
  shape: readonly number[],
  data: Float32Array,
): Parameter {
  const size = shape[0] * shape[1];
  const value = device.alloc(size, name);
  device.write(value, data);
  return { name, shape, kind: "lora", size, value };
}
