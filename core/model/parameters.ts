/** @file Parameters on a device: values, and for those that are trained their gradients. */
import type { Device, DeviceBuffer } from "../device.ts";

export interface Parameter {
  /** Hugging Face (or PEFT) name. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly kind: "embedding" | "linear" | "norm" | "bias" | "lora" | "scale";
  readonly size: number;
  readonly value: DeviceBuffer;
  /** Absent where the parameter is frozen. */
  grad?: DeviceBuffer;
  /** Its own peak learning rate, where it is not the run's. */
  readonly learningRate?: number;
}

export type Parameters = ReadonlyMap<string, Parameter>;

/**
 * A 64-bit fingerprint of parameters: their names, shapes and bits, as 16 hexadecimal digits. Equal digests of two
 * hosts mean equal weights (docs: exactness, rule 9).
 */
export async function digest(device: Device, parameters: Iterable<Parameter>): Promise<string> {
  const list = [...parameters];
  const sums = device.alloc(2 * list.length, "digest");
  device.write(sums, new Uint32Array(2 * list.length));
  list.forEach((p, slot) => {
    device.run("digest", sums, p.value, p.size, slot);
  });
  const words = await device.readU32(sums);
  device.free(sums);
  return combineDigest(list.map(({ name, shape }, i) => ({ name, shape, words: [words[2 * i], words[2 * i + 1]] })));
}

/** FNV-1a (64 bit) over names, shapes and the two sums of each tensor, in order. */
export function combineDigest(
  tensors: readonly { name: string; shape: readonly number[]; words: readonly number[] }[],
): string {
  let hash = 0xcbf29ce484222325n;
  const byte = (b: number) => {
    hash = BigInt.asUintN(64, (hash ^ BigInt(b)) * 0x100000001b3n);
  };
  for (const { name, shape, words } of tensors) {
    for (const b of new TextEncoder().encode(`${name}:${shape.join("x")};`)) byte(b);
    for (const word of words) for (let shift = 0; shift < 32; shift += 8) byte((word >>> shift) & 255);
  }
  return hash.toString(16).padStart(16, "0");
}
