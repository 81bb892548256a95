/** @file Which device an engine runs on: WASM, or WebGPU where it is asked for and there. Hosts say how each is reached. */
import type { DeviceOptions, DoctorResult } from "../core/api.ts";
import type { Device } from "../core/device.ts";
import { CohortError } from "../core/errors.ts";
import type { Numeric } from "../core/math.ts";
import { probe } from "../core/probe.ts";
import { CpuDevice, hasRelaxedSimd, type Spawn } from "./cpu.ts";
import { threadsOf } from "./engine.ts";

/** How this host reaches threads and adapters. */
export interface Reach {
  /** absent where no thread can be started */
  spawn?: Spawn;
  /** processor cores, or 1 where threads cannot share memory */
  cores: number;
  /** why no thread can be started, and what to do: for the message where threads are asked for */
  noThreads?: [reason: string, remedy: string];
  /** Opens a WebGPU device; throws a CohortError where there is none. Called only where WebGPU is asked for. */
  openGpu?(): Promise<Device & { close(): void }>;
}

export interface Opened {
  device: Device;
  numeric: Numeric;
  threads: number;
  doctor(): Promise<DoctorResult>;
  close(): void;
}

/** The CPU device that `options` ask for; with more than one thread only where `reach` can start them. */
export async function openCpu(options: DeviceOptions, reach: Reach): Promise<CpuDevice> {
  const threads = threadsOf(options.threads, reach.spawn ? reach.cores : 1);
  if (threads > 1 && !reach.spawn) {
    const [reason, remedy] = reach.noThreads ?? ["no thread can be started here", "use 1"];
    throw new CohortError("bad-config", `threads ${threads}: ${reason}`, remedy);
  }
  return CpuDevice.create(threads, { spawn: reach.spawn });
}

/** @throws CohortError where what is asked for is not there; `auto` takes WASM, the standard. */
export async function openDevice(options: DeviceOptions, reach: Reach): Promise<Opened> {
  if (options.precision === "fast" && options.backend !== "webgpu") {
    throw new CohortError("bad-config", 'precision "fast" needs a GPU', "use 12 or 24");
  }
  if (options.backend === "webgpu") {
    if (!reach.openGpu) throw new CohortError("device", "backend webgpu: this host has none", "use backend wasm");
    const device = await reach.openGpu();
    const found = await probe(device);
    if (!found.exact) {
      const { name } = device;
      device.close();
      throw new CohortError(
        "not-exact",
        `backend webgpu: ${name} breaks the exactness rules in ${found.failed.join(", ")}`,
        "use backend wasm; `cohort conformance --backend webgpu` shows the cases",
      );
    }
    const numeric = await CpuDevice.create(1);
    return {
      device,
      numeric,
      threads: 1,
      doctor: async () => ({ adapters: [{ name: device.name, exact: true, failed: [] }], auto: "wasm" }),
      close() {
        device.close();
        numeric.close();
      },
    };
  }
  const device = await openCpu(options, reach);
  return {
    device,
    numeric: device,
    threads: device.threads,
    doctor: async () => ({
      adapters: [{ name: device.name, exact: true, failed: [] }],
      auto: "wasm",
      notes: {
        threads: device.threads,
        "relaxed SIMD": hasRelaxedSimd() ? "yes" : "no (plain SIMD; the bits are the same)",
      },
    }),
    close: () => device.close(),
  };
}
