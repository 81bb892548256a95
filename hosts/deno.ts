/**
 * @file The engine and the command line on Deno, from the source as it is: `deno run -A hosts/deno.ts train`.
 * Threads are Web Workers, WebGPU is Deno's own; files go through Deno's node:fs.
 */
import type { DeviceOptions } from "../core/api.ts";
import { recipeIds } from "../core/generated/recipe-ids.ts";
import { loadRecipe, paramsOf } from "../core/recipe.ts";
import { replay } from "../core/replay.ts";
import { checkEngine, checkWasm } from "./asked.ts";
import type { Io } from "./cli/command.ts";
import { main } from "./cli/main.ts";
import { taskSource } from "./cli/task-source.ts";
import type { CpuDevice } from "./cpu.ts";
import { openCpu, openDevice, type Reach } from "./device.ts";
import { type EngineOptions, type HostEngine, makeEngine } from "./engine.ts";
import { withOwnGpu } from "./own-gpu.ts";
import { nodeStorage } from "./storage.ts";
import { examineWebGpu, hasHardwareGpu, openWebGpu } from "./web-gpu.ts";
import { spawnWebThread } from "./web-threads.ts";

export { CpuDevice } from "./cpu.ts";
export type { AppData, AppTask, EngineOptions, EvaluateOptions, HostEngine, RunHooks } from "./engine.ts";
export type { Logger, MetricRecord } from "./log/logger.ts";
export type { TrainingRun } from "./running.ts";

/** What this file uses of Deno. */
declare const Deno: {
  args: string[];
  build: { os: string; arch: string };
  version: { deno: string };
  env: { get(name: string): string | undefined };
  stdout: { writeSync(data: Uint8Array): number; isTerminal(): boolean };
  stderr: { writeSync(data: Uint8Array): number };
  errors: Record<"NotCapable" | "BrokenPipe", new () => Error>;
  consoleSize(): { columns: number };
  cwd(): string;
  exit(code: number): never;
  addSignalListener(signal: "SIGINT", listener: () => void): void;
  removeSignalListener(signal: "SIGINT", listener: () => void): void;
};

const reach = (): Reach => ({
  spawn: spawnWebThread,
  cores: navigator.hardwareConcurrency,
  openGpu: openWebGpu,
  likelyGpu: hasHardwareGpu,
  examine: examineWebGpu,
});

/** A WASM device on every core (up to 8) or as many threads as asked for: what a Session runs on. */
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

/** What is not permitted is as if it were not there. */
function permitted<T>(ask: () => T, otherwise: T): T {
  try {
    return ask();
  } catch {
    return otherwise;
  }
}

function write(to: { writeSync(data: Uint8Array): number }, text: string): void {
  let data = new TextEncoder().encode(text);
  try {
    while (data.length > 0) data = data.subarray(to.writeSync(data));
  } catch (error) {
    // A reader that stops early (`… list | head`) is no error.
    if (error instanceof Deno.errors.BrokenPipe) Deno.exit(0);
    throw error;
  }
}

function denoIo(): Io {
  return {
    out: (text) => write(Deno.stdout, text),
    err: (text) => write(Deno.stderr, text),
    terminal: Deno.stdout.isTerminal(),
    columns: permitted(() => Deno.consoleSize().columns, 100),
    env: new Proxy({}, { get: (_, name) => permitted(() => Deno.env.get(String(name)), undefined) }),
    cwd: Deno.cwd(),
    storage: nodeStorage(),
    now: () => performance.now(),
    onInterrupt(callback) {
      let first = true;
      const listener = () => {
        if (!first) Deno.exit(130);
        first = false;
        callback();
      };
      Deno.addSignalListener("SIGINT", listener);
      return () => Deno.removeSignalListener("SIGINT", listener);
    },
    engine: createEngine,
    replay: async (input) => replay(input as Parameters<typeof replay>[0]),
    recipeIds: async () => recipeIds,
    async recipe(id) {
      const recipe = await loadRecipe(id);
      return { ...recipe, params: paramsOf(recipe) };
    },
    runtime: `Deno ${Deno.version.deno}, ${Deno.build.os} ${Deno.build.arch}`,
  };
}

if ((import.meta as { main?: boolean }).main) {
  let code: number;
  try {
    code = await main(Deno.args, denoIo());
  } catch (error) {
    if (!(error instanceof Deno.errors.NotCapable)) throw error;
    const needed = /^Requires [^,]*/.exec(error.message)?.[0] ?? error.message;
    write(Deno.stderr, `cohort: Deno refuses: ${needed} — run it with deno run -A, or allow what it names\n`);
    code = 1;
  }
  Deno.exit(code);
}
