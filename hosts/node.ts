/** @file The engine on Node: WASM on worker threads, files on disk. */
import { existsSync, readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { DeviceOptions } from "../core/api.ts";
import { checkEngine, checkWasm } from "./asked.ts";
import { taskSource } from "./cli/task-source.ts";
import type { CpuDevice } from "./cpu.ts";
import { openCpu, openDevice, type Reach } from "./device.ts";
import { type EngineOptions, type HostEngine, makeEngine } from "./engine.ts";
import { spawnThread } from "./node-threads.ts";
import { withOwnGpu } from "./own-gpu.ts";
import { nodeStorage } from "./storage.ts";

export { CpuDevice } from "./cpu.ts";
export type { AppData, AppTask, EngineOptions, EvaluateOptions, HostEngine, RunHooks } from "./engine.ts";
export { downloadModel } from "./hub.ts";
export type { Logger, MetricRecord } from "./log/logger.ts";
export { spawnThread } from "./node-threads.ts";
export type { TrainingRun } from "./running.ts";
export { nodeStorage } from "./storage.ts";

const reach = (): Reach => ({
  spawn: spawnThread,
  cores: availableParallelism(),
  // Loaded where it is asked for: the package webgpu is optional.
  openGpu: async (choice) => (await import("./node-gpu.ts")).openGpu(choice),
  likelyGpu,
  examine: async () => {
    try {
      return await (await import("./node-gpu.ts")).examine();
    } catch {
      // The package webgpu is not installed.
      return [];
    }
  },
});

/** Dawn takes a tenth of a second to look for adapters and complains where there are none: look for a driver's node first. */
async function likelyGpu(): Promise<boolean> {
  if (process.platform !== "linux") return true;
  if (existsSync("/dev/nvidia0")) return true;
  return existsSync("/dev/dri") && readdirSync("/dev/dri").some((name) => name.startsWith("renderD"));
}

/** A WASM device on every core (up to 8) or as many threads as asked for. */
export async function createDevice(options: DeviceOptions = {}): Promise<CpuDevice> {
  checkWasm(options);
  return openCpu(options, reach());
}

export async function createEngine(options: EngineOptions = {}): Promise<HostEngine> {
  checkEngine(options);
  const { gpu, storage = nodeStorage(), logger, ...device } = options;
  return makeEngine({
    ...(await openDevice(...withOwnGpu(device, gpu, reach()))),
    logger,
    storage,
    clock: () => performance.now(),
    taskSource: (config, note) => taskSource(config, storage, note),
  });
}
