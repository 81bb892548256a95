/**
 * @file WebGPU in Node: Dawn through the optional package `webgpu`. The object that it gives must stay referenced for as
 * long as anything made from it is used, and a process that used it ends with process.exit.
 */
import { CohortError } from "../core/errors.ts";
import { adaptersOf, chooseAdapter, examineAll, type FoundAdapter } from "./adapters.ts";
import type { GpuChoice } from "./device.ts";
import { GpuDevice } from "./gpu.ts";

let gpu: GPU | null = null;

/** navigator.gpu of this process. @throws CohortError where the package is not installed or cannot start */
export async function nodeGpu(): Promise<GPU> {
  if (gpu) return gpu;
  try {
    const { create, globals } = await import("webgpu");
    Object.assign(globalThis, globals);
    gpu = create([]);
    return gpu;
  } catch (cause) {
    throw new CohortError(
      "device",
      `webgpu: ${(cause as Error).message.split("\n")[0]}`,
      "install it with npm i webgpu, or use --backend wasm",
      { cause },
    );
  }
}

/** The adapters there are, hardware first, each once. Empty where there are none. */
export const adapters = async (): Promise<FoundAdapter[]> => adaptersOf(await nodeGpu());

/** What `doctor` says of each adapter. @param open default: a device of its own, for the time of the probe */
export const examine = async (open?: (adapter: GPUAdapter) => Promise<GpuDevice>) => examineAll(await adapters(), open);

/**
 * A device on an adapter of this machine.
 * @param choice part of the adapter's name (default: the first hardware adapter); fast kernels
 * @throws CohortError where there is none that fits
 */
export async function openGpu({ adapter: wanted, fast = false }: GpuChoice = {}): Promise<GpuDevice> {
  const { adapter } = chooseAdapter(await adapters(), wanted);
  return GpuDevice.create(adapter, { fast });
}
