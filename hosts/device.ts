/** @file Which device an engine runs on: WASM, or WebGPU where it is asked for and there. Hosts say how each is reached. */
import type { DeviceOptions, DoctorResult } from "../core/api.ts";
import type { Device } from "../core/device.ts";
import { CohortError } from "../core/errors.ts";
import type { Numeric } from "../core/math.ts";
import { CpuDevice, hasRelaxedSimd } from "./cpu.ts";
import { threadsOf } from "./engine.ts";
import type { Spawn } from "./threads.ts";

/** How this host reaches threads and adapters. */
export interface Reach {
  /** absent where no thread can be started */
  spawn?: Spawn;
  /** processor cores, or 1 where threads cannot share memory */
  cores: number;
  /** why no thread can be started, and what to do: for the message where threads are asked for */
  noThreads?: [reason: string, remedy: string];
  /** Opens a WebGPU device; throws a CohortError where there is none. */
  openGpu?(options: GpuChoice): Promise<Device & { readonly missing?: readonly string[] }>;
  /** Whether a hardware adapter is likely enough for `auto` to look for one: asking can be slow and noisy. */
  likelyGpu?(): Promise<boolean>;
  /** What every adapter is called and whether it keeps the bits: for `doctor`. */
  examine?(): Promise<DoctorResult["adapters"]>;
}

export interface GpuChoice {
  /** part of the adapter's name; absent: the first hardware adapter */
  adapter?: string;
  /** kernels with tolerances in place of bits */
  fast?: boolean;
}

export interface Opened {
  device: Device;
  /** WASM: the mathematics of policies, and what conformance shows beside a GPU */
  numeric: Numeric & Device;
  /** of the device, for the memory estimate */
  threads: number;
  /** What is not as it was asked for, and what is used instead: a line for people. */
  note?: string;
  doctor(): Promise<DoctorResult>;
  close(): void | Promise<void>;
  /**
   * Probes the kernels of a precision that was not asked for when the device was opened; at once where they are known.
   * @throws CohortError where they do not keep the bits
   */
  allow?(precision: DeviceOptions["precision"]): Promise<void>;
  /**
   * Closes what was lost and opens what takes its place: a WebGPU device again, WASM when that fails or was lost too often.
   * Null where nothing can; absent where nothing can be lost.
   */
  reopen?(): Promise<Opened | null>;
}

/** A WebGPU device is opened again this many times; the next loss ends on WASM. */
const REOPENINGS = 2;

/** The CPU device that `options` ask for; with more than one thread only where `reach` can start them. */
export async function openCpu(options: DeviceOptions, reach: Reach): Promise<CpuDevice> {
  const threads = threadsOf(options.threads, reach.spawn ? reach.cores : 1);
  if (threads > 1 && !reach.spawn) {
    const [reason, remedy] = reach.noThreads ?? ["no thread can be started here", "use 1"];
    throw new CohortError("bad-config", `threads ${threads}: ${reason}`, remedy);
  }
  return CpuDevice.create(threads, { spawn: reach.spawn });
}

/**
 * `auto` takes a hardware adapter that passes the probe, else WASM; software adapters only where they are named.
 * @throws CohortError where what is asked for is not there, or does not keep the bits
 */
export async function openDevice(options: DeviceOptions, reach: Reach): Promise<Opened> {
  const fast = options.precision === "fast";
  const { backend = "auto" } = options;
  let why = "it was asked for";
  if (backend === "webgpu" || (backend === "auto" && (fast || options.adapter))) {
    if (!reach.openGpu) throw new CohortError("device", "backend webgpu: this host has none", "use backend wasm");
    const device = await reach.openGpu({ adapter: options.adapter, fast });
    if (!fast && options.probe !== false) await assertExact(device, options);
    const opened = await withGpu(device, options, reach, why);
    const missing = device.missing?.join(", ");
    return missing ? { ...opened, note: `${device.name} has no ${missing}: fast kernels do without` } : opened;
  }
  if (fast) throw new CohortError("bad-config", 'precision "fast" needs a GPU', "use 12 or 24, or backend webgpu");
  let note: string | undefined;
  if (backend === "auto") {
    const likely = (await reach.likelyGpu?.()) ?? false;
    const tried = likely ? await tryGpu(reach, options) : NO_HARDWARE;
    if (typeof tried !== "string") return withGpu(tried, options, reach, "a hardware adapter that keeps the bits");
    why = tried;
    // Where there is no adapter nothing is missed.
    if (likely) note = `${why}; WASM is used instead`;
  }
  return { ...withCpu(await openCpu(options, reach), reach, why), note };
}

function withCpu(device: CpuDevice, reach: Reach, why: string): Opened {
  return {
    device,
    numeric: device,
    threads: device.threads,
    doctor: () => doctor(device.name, "wasm", why, reach, { threads: device.threads }),
    close: () => device.close(),
  };
}

const NO_HARDWARE = "there is no hardware adapter";

/** Loaded where there is an adapter: the golden digests are large. */
const probe = async (device: Device, { precision }: DeviceOptions) =>
  (await import("../core/probe.ts")).probe(device, { precision: precision === 24 ? 24 : 12 });

/** A device that passes the probe, or why there is none. */
async function tryGpu(reach: Reach, options: DeviceOptions): Promise<Device | string> {
  if (!reach.openGpu) return NO_HARDWARE;
  try {
    const fast = options.precision === "fast";
    const device = await reach.openGpu({ adapter: options.adapter, fast });
    const later = fast || options.probe === false;
    const { exact, failed } = later ? { exact: true, failed: [] } : await probe(device, options);
    if (exact) return device;
    device.close();
    return `${device.name} breaks the exactness rules in ${failed.join(", ")}`;
  } catch (error) {
    return error instanceof Error ? error.message.split(" — ")[0] : String(error);
  }
}

async function assertExact(device: Device, options: DeviceOptions): Promise<void> {
  const found = await probe(device, options);
  if (found.exact) return;
  device.close();
  throw notExact(device, found.failed, options);
}

function notExact({ name }: Device, failed: readonly string[], { adapter }: DeviceOptions): CohortError {
  const named = adapter === undefined ? "" : ` --adapter ${/^[\w.-]+$/.test(adapter) ? adapter : `"${adapter}"`}`;
  return new CohortError(
    "not-exact",
    `backend webgpu: ${name} breaks the exactness rules in ${failed.join(", ")}`,
    `use backend wasm, or precision "fast"; \`cohort conformance --backend webgpu${named}\` shows the cases`,
  );
}

async function withGpu(device: Device, options: DeviceOptions, reach: Reach, why: string, losses = 0): Promise<Opened> {
  const numeric = await CpuDevice.create(1);
  // Of null nothing is known yet.
  let probed = options.probe === false && options.precision !== "fast" ? null : (options.precision ?? 12);
  const opened = {
    device,
    numeric,
    threads: 1,
    doctor: () => doctor(numeric.name, "webgpu", why, reach, {}),
    close() {
      device.close();
      numeric.close();
    },
    async allow(precision: DeviceOptions["precision"]) {
      const asked = precision === 24 ? 24 : 12;
      if (probed === "fast" || (probed !== null && asked <= probed)) return;
      const { exact, failed } = await probe(device, { precision: asked });
      if (!exact) throw notExact(device, failed, options);
      probed = asked;
    },
    async reopen() {
      opened.close();
      const next = losses < REOPENINGS ? await tryGpu(reach, options) : null;
      if (next && typeof next !== "string") return withGpu(next, options, reach, why, losses + 1);
      if (options.precision === "fast") return null;
      // Threads that were asked for beside a GPU were never started, and may be refused here.
      const cpu = await openCpu(options, reach).catch(() => openCpu({ threads: 1 }, reach));
      return withCpu(cpu, reach, "the WebGPU device was lost");
    },
  };
  return opened;
}

async function doctor(
  wasm: string,
  auto: string,
  why: string,
  reach: Reach,
  notes: Record<string, number>,
): Promise<DoctorResult> {
  return {
    adapters: [{ name: wasm, exact: true, failed: [] }, ...((await reach.examine?.()) ?? [])],
    auto,
    notes: {
      because: why,
      ...notes,
      "relaxed SIMD": hasRelaxedSimd() ? "yes" : "no (plain SIMD; the bits are the same)",
    },
  };
}
