/** @file An app's own GPUDevice in place of one that the host opens. */
import type { DeviceOptions } from "../core/api.ts";
import { CohortError } from "../core/errors.ts";
import type { Reach } from "./device.ts";

/** GPUDevice, where the app has types for it (lib.dom of TypeScript 6, or @webgpu/types); else any object. */
export type AppGpuDevice = typeof globalThis extends { GPUDevice: { prototype: infer D } } ? D : object;

/** With a device of the app: WebGPU on that one; it is probed like any other, and left alone at the end. */
export function withOwnGpu(
  options: DeviceOptions,
  gpu: AppGpuDevice | undefined,
  reach: Reach,
): [options: DeviceOptions, reach: Reach] {
  if (!gpu) return [options, reach];
  if (options.backend === "wasm") {
    throw new CohortError("bad-config", "createEngine: backend wasm beside a gpu", "leave one of the two out");
  }
  if (!("GPUBufferUsage" in globalThis)) {
    throw new CohortError(
      "device",
      "createEngine: gpu is given, but GPUBufferUsage and its like are no globals here",
      'with the package webgpu: Object.assign(globalThis, (await import("webgpu")).globals)',
    );
  }
  const openGpu: Reach["openGpu"] = async ({ fast }) => {
    const { GpuDevice } = await import("./gpu.ts");
    return new GpuDevice(gpu as GPUDevice, { fast, name: "WebGPU, the app's device" });
  };
  return [
    { ...options, backend: "webgpu" },
    { ...reach, openGpu },
  ];
}
