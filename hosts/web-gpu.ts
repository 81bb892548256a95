/** @file WebGPU where the global `navigator` has it: browsers, their workers, and Deno. */
import type { DoctorResult } from "../core/api.ts";
import { CohortError } from "../core/errors.ts";
import type { GpuChoice } from "./device.ts";
import { adapterName, GpuDevice } from "./gpu.ts";
import { isSoftwareName } from "./quirks.ts";

/**
 * A device on the default adapter; a software adapter where there is no other.
 * @throws CohortError where the browser has no WebGPU, or no adapter
 */
export async function openWebGpu({ adapter: wanted, fast = false }: GpuChoice = {}): Promise<GpuDevice> {
  const { gpu } = globalThis.navigator ?? {};
  if (!gpu) {
    const deno = "Deno" in globalThis;
    throw new CohortError(
      "device",
      `backend webgpu: ${deno ? "Deno's WebGPU is off" : "this browser has no WebGPU, or the page is not served securely"}`,
      deno ? "run it with --unstable-webgpu, or use backend wasm" : "use https or localhost, or backend wasm",
    );
  }
  const adapter =
    (await gpu.requestAdapter({ powerPreference: "high-performance" }).catch(() => null)) ??
    (await gpu.requestAdapter({ forceFallbackAdapter: true }).catch(() => null));
  if (!adapter) {
    throw new CohortError("device", "backend webgpu: this machine has no adapter for it", "use backend wasm");
  }
  const name = adapterName(adapter);
  if (wanted && !name.toLowerCase().includes(wanted.toLowerCase())) {
    throw new CohortError("device", `webgpu: the adapter here is "${name}", not "${wanted}"`, "leave --adapter out");
  }
  return GpuDevice.create(adapter, { fast });
}

/** Whether there is an adapter that is no software. */
export async function hasHardwareGpu(): Promise<boolean> {
  const adapter = await globalThis.navigator?.gpu?.requestAdapter().catch(() => null);
  return !!adapter && !adapter.info.isFallbackAdapter && !isSoftwareName(adapterName(adapter));
}

/** What `doctor` says of each adapter; the golden digests are loaded then. */
export async function examineWebGpu(): Promise<DoctorResult["adapters"]> {
  const { gpu } = globalThis.navigator ?? {};
  if (!gpu) return [];
  const { adaptersOf, examineAll } = await import("./adapters.ts");
  return examineAll(await adaptersOf(gpu));
}
