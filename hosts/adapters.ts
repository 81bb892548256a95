/** @file The WebGPU adapters that a host has, and what `doctor` says of them. */
import { CohortError } from "../core/errors.ts";
import { type ProbeResult, probe } from "../core/probe.ts";
import { adapterName, GpuDevice } from "./gpu.ts";
import { isSoftwareName } from "./quirks.ts";

export interface FoundAdapter {
  name: string;
  /** A software adapter: right, but slower than WASM. */
  software: boolean;
  adapter: GPUAdapter;
}

/** The adapters there are, hardware first, each once. Empty where there are none. */
export async function adaptersOf(gpu: GPU): Promise<FoundAdapter[]> {
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
 * The adapter that is asked for.
 * @param wanted part of its name; default: the first that is no software
 * @throws CohortError("device") where there is none that fits
 */
export function chooseAdapter<A extends Omit<FoundAdapter, "adapter">>(all: readonly A[], wanted?: string): A {
  const found = all.find((f) => (wanted ? f.name.toLowerCase().includes(wanted.toLowerCase()) : !f.software));
  if (found) return found;
  const kind = wanted ? `adapter called "${wanted}"` : "hardware adapter";
  if (all.length === 0) {
    throw new CohortError(
      "device",
      `webgpu: no ${kind}, nor any other`,
      "use --backend wasm; docs/exactness.md#check-your-driver says how a driver is found",
    );
  }
  const names = all.map((f) => f.name).join("; ");
  const remedy = wanted ? "name one that there is" : "name the software adapter with --adapter";
  throw new CohortError("device", `webgpu: no ${kind} (there is: ${names})`, `use --backend wasm, or ${remedy}`);
}

/**
 * What `doctor` says of each adapter: its name, and whether it gives the bits of WASM.
 * @param open default: a device of its own, for the time of the probe
 */
export async function examineAll(
  found: readonly FoundAdapter[],
  open: (adapter: GPUAdapter) => Promise<GpuDevice> = GpuDevice.create,
): Promise<({ name: string; software: boolean } & ProbeResult)[]> {
  const seen: ({ name: string; software: boolean } & ProbeResult)[] = [];
  for (const { name, software, adapter } of found) {
    const device = await open(adapter);
    try {
      seen.push({ name, software, ...(await probe(device)) });
    } finally {
      device.close();
    }
  }
  return seen;
}
