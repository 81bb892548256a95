/** @file Devices that tests run on. */
import { CpuDevice } from "../../hosts/cpu.ts";
import { spawnThread } from "../../hosts/node-threads.ts";

/** With more than one thread every command is cut, however small, into more slices than there are threads. */
export function cpu(threads = 1): Promise<CpuDevice> {
  return CpuDevice.create(threads, { spawn: spawnThread, ...(threads > 1 && { slices: 2 * threads + 1 }) });
}
