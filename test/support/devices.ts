/** @file Devices that tests run on. */
import { CpuDevice } from "../../hosts/cpu.ts";
import { spawnThread } from "../../hosts/node-threads.ts";

export function cpu(threads = 1): Promise<CpuDevice> {
  return CpuDevice.create(threads, { spawn: spawnThread });
}
