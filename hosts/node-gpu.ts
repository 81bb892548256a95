/**
 * @file WebGPU in Node: Dawn through the optional package `webgpu`. The object that it gives must stay referenced for as
 * long as anything made from it is used, and a process that used it ends with process.exit.
 */
import { CohortError } from "../core/errors.ts";
import { type ProbeResult, probe } from "../core/probe.ts";
import type { GpuChoice } from "./device.ts";
import { adapterName, GpuDevice } from "./gpu.ts";
import { isSoftwareName } from "./quirks.ts";

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

export interface FoundAdapter {
  name: string;
  /** A software adapter: right, but slower than WASM. */
  software: boolean;
  adapter: GPUAdapter;
}

/** The adapters there are, hardware first, each once. Empty where there are none. */
export async function adapters(): Promise<FoundAdapter[]> {
  const gpu = await nodeGpu();
  const found: FoundAdapter[] = [];
  for (const options of [
    { powerPreference: "high-performance" },
    { powerPreference: "low-power" },
    { forceFallbackAdapter: true },
  ] as const) {
    const adapter = await gpu.requestAdapter(options).catch(() => null);
    if (!adapter) continue;
    const name = adapterName(adapter);
    if (found.some((f) => f.name === name)) continue;
    found.push({ name, software: isSoftware(adapter), adapter });
  }
  return found;
}

/** Some hosts do not say that an adapter is a fallback, but its name does. */
export function isSoftware(adapter: GPUAdapter): boolean {
  return adapter.info.isFallbackAdapter || isSoftwareName(adapterName(adapter));
}

/**
 * What `doctor` says of each adapter: its name, and whether it gives the bits of WASM.
 * @param open default: a device of its own, for the time of the probe
 */
export async function examine(
  open: (adapter: GPUAdapter) => Promise<GpuDevice> = GpuDevice.create,
): Promise<({ name: string; software: boolean } & ProbeResult)[]> {
  const seen: ({ name: string; software: boolean } & ProbeResult)[] = [];
  for (const { name, software, adapter } of await adapters()) {
    const device = await open(adapter);
    try {
      seen.push({ name, software, ...(await probe(device)) });
    } finally {
      device.close();
    }
  }
  return seen;
}

/**
 * A device on an adapter of this machine.
 * @param choice part of the adapter's name (default: the first hardware adapter); fast kernels
 * @throws CohortError where there is none that fits
 */
export async function openGpu({ adapter: wanted, fast = false }: GpuChoice = {}): Promise<GpuDevice> {
  const all = await adapters();
  const found = all.find((f) => (wanted ? f.name.toLowerCase().includes(wanted.toLowerCase()) : !f.software));
  if (!found) {
    const have = all.length > 0 ? all.map((f) => f.name).join("; ") : "none";
    throw new CohortError(
      "device",
      `webgpu: no ${wanted ? `adapter called "${wanted}"` : "hardware adapter"} (there is: ${have})`,
      "use --backend wasm, or name a software adapter with --adapter",
    );
  }
  return GpuDevice.create(found.adapter, { fast });
}
