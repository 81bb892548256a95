/**
 * @file The engine in a page. It runs in a worker, so that the page stays live; hooks and reward functions run on the page.
 *
 *   const engine = await createEngine();
 *   await engine.importFiles("model", input.files);
 *   await engine.train(parseConfig({ model: "model", steps: 20 }), { task: { prompts, rewards: (s) => … }, onStep });
 *
 * On one thread it needs nothing of the server; on several the page must be cross-origin isolated.
 */
import type { DeviceOptions, SampleOptions, TrainHooks } from "../core/api.ts";
import type { TrainConfig } from "../core/config.ts";
import type { KernelConformance } from "../core/conformance-report.ts";
import { CohortError } from "../core/errors.ts";
import type { Storage } from "../core/host.ts";
import { type CheckedTask, checkEngine, checkEvaluate, checkedTask, checkHooks } from "./asked.ts";
import type { PageOffers, SentTask, StorageKind, WorkerOffers } from "./browser-messages.ts";
import type { CpuDevice } from "./cpu.ts";
import { type AppData, type EngineOptions, type HostEngine, type RunHooks, rewardsByName } from "./engine.ts";
import { closedError } from "./held-device.ts";
import { loggerList, withLoggers } from "./log/logger.ts";
import { join } from "./port.ts";
import { startRun } from "./running.ts";
import { storageOffers, storageOver } from "./storage-port.ts";

export type * from "../core/api.ts";
export { parseConfig, type TrainConfig } from "../core/config.ts";
export { CohortError, type ErrorCode } from "../core/errors.ts";
export { version } from "../core/generated/version.ts";
export type { AppData, AppTask, EvaluateOptions, HostEngine, RunHooks } from "./engine.ts";
export type { Logger, MetricRecord } from "./log/logger.ts";
export type { TrainingRun } from "./running.ts";

export interface BrowserOptions extends Omit<EngineOptions, "storage"> {
  /** where files are kept, or the app's own; default "auto": OPFS, else IndexedDB, else memory */
  storage?: StorageKind | Storage;
  /** the folder or database that holds them; one engine at a time may use it. Default "cohort" */
  root?: string;
  /** the worker's script, where the app serves it from elsewhere than beside this module */
  worker?: string | URL;
}

export interface BrowserEngine extends HostEngine {
  /** what it runs on, for people */
  readonly device: string;
  readonly threads: number;
  readonly storageKind: StorageKind | "app";
  /** Copies files that were chosen or dropped into a folder of the storage; `model` then names that folder. */
  importFiles(dir: string, files: Iterable<File>): Promise<void>;
  /**
   * Downloads a model folder in Hugging Face's layout.
   * @param onBytes told the bytes of each file so far
   */
  importUrl(dir: string, url: string | URL, onBytes?: (file: string, bytes: number) => void): Promise<void>;
}

/** A WASM device on this thread (more only where asked for): what a Session of the page's own runs on. */
export async function createDevice(options: DeviceOptions = {}): Promise<CpuDevice> {
  return (await import("./browser-local.ts")).createDevice({ threads: 1, ...options });
}

/** What the page does for one run. */
interface Listening extends TrainHooks {
  rewards: ReturnType<typeof rewardsByName>;
  onBytes?(file: string, bytes: number): void;
  onKernel?(row: KernelConformance): void;
}

/**
 * Starts the worker and opens device and storage.
 * @throws CohortError where what is asked for is not there: threads without cross-origin isolation, WebGPU, a storage
 */
export async function createEngine(options: BrowserOptions = {}): Promise<BrowserEngine> {
  checkEngine(options, ["root", "worker"]);
  if (options.gpu) return (await import("./browser-local.ts")).createLocalEngine(options);
  const { gpu: _, storage: asked = "auto", root = "cohort", worker: script, logger: ours, ...device } = options;
  const worker = script
    ? new Worker(script, { type: "module" })
    : new Worker(new URL("./browser-worker.js", import.meta.url), { type: "module" });
  const runs = new Map<number, Listening>();
  let next = 0;
  const threads: { terminate(): void }[] = [];
  let ended = false;
  const end = () => {
    ended = true;
    worker.terminate();
    for (const thread of threads) thread.terminate();
  };
  const offers: PageOffers = {
    async startThread(start) {
      const { spawnWebThread } = await import("./web-threads.ts");
      const thread = await spawnWebThread(start);
      if (ended) thread.terminate();
      return threads.push(thread) - 1;
    },
    endThread: (thread) => threads[thread].terminate(),
    reward: async (run, name, sample) => runs.get(run)!.rewards[name](sample),
    beforeStep: async (run, step) => runs.get(run)?.beforeStep?.(step),
    onStart: (run, info) => runs.get(run)?.onStart?.(info),
    onWarmStart: (run, progress) => runs.get(run)?.onWarmStart?.(progress),
    onStep: (run, metrics) => runs.get(run)?.onStep?.(metrics),
    onEval: (run, when, result) => runs.get(run)?.onEval?.(when, result),
    onNote: (run, text) => runs.get(run)?.onNote?.(text),
    onKernel: (run, row) => runs.get(run)?.onKernel?.(row),
    onBytes: (run, file, bytes) => runs.get(run)?.onBytes?.(file, bytes),
    ...storageOffers(() => asked as Storage),
  };
  const port = join<WorkerOffers>(worker, offers);
  worker.addEventListener("error", (event) => {
    const reason = event.message || "its script cannot be loaded";
    port.fail(
      new CohortError(
        "device",
        `createEngine: the engine's worker failed: ${reason}`,
        "reload the page to start again",
      ),
    );
  });
  let opened: Awaited<ReturnType<WorkerOffers["open"]>>;
  try {
    opened = await port.call("open", { ...device, storage: typeof asked === "string" ? asked : "app", root });
  } catch (error) {
    end();
    throw error;
  }

  /** One run: its hooks are heard until it ends, its signal is passed on. */
  async function during<T>(listening: Listening, work: (run: number) => Promise<T>): Promise<T> {
    const run = next++;
    runs.set(run, listening);
    const stop = () => port.tell("stop", run);
    const { signal } = listening;
    try {
      const result = work(run);
      if (signal?.aborted) stop();
      signal?.addEventListener("abort", stop, { once: true });
      return await result;
    } finally {
      signal?.removeEventListener("abort", stop);
      runs.delete(run);
    }
  }
  const rewardsOf = (task: CheckedTask | AppData | undefined) =>
    task && "rewards" in task ? rewardsByName(task.rewards) : {};
  const sent = (task: CheckedTask | AppData | undefined): SentTask | AppData | null => {
    if (!task || "examples" in task) return task ?? null;
    const { rewards, ...rest } = task;
    return { ...rest, rewardNames: Object.keys(rewardsByName(rewards)) };
  };

  const train = async (config: TrainConfig, asked: RunHooks = {}) => {
    checkHooks(asked);
    const { task: given, logger, ...rest } = asked;
    return withLoggers([...loggerList(ours), ...loggerList(logger)], rest, async (hooks) => {
      const task = given && checkedTask(given);
      return during({ ...hooks, rewards: rewardsOf(task) }, (run) =>
        port.call("train", run, config, sent(task), hooks.beforeStep !== undefined),
      );
    });
  };
  let closed = false;

  return {
    device: opened.device,
    threads: opened.threads,
    storageKind: opened.storage,
    storage: typeof asked === "string" ? storageOver(port) : asked,
    train,
    start: (config, hooks = {}) => startRun(train, config, hooks),
    async evaluate(config, options = {}) {
      checkEvaluate(options);
      const { onNote, task: given, ...at } = options;
      const task = given && checkedTask(given);
      return during({ onNote, rewards: rewardsOf(task) }, (run) => port.call("evaluate", run, config, at, sent(task)));
    },
    async *sample(asked: SampleOptions) {
      yield* await port.call("sample", asked);
    },
    score: (asked) => port.call("score", asked),
    doctor: () => port.call("doctor"),
    conformance: (onKernel, only) => during({ rewards: {}, onKernel }, (run) => port.call("conformance", run, only)),
    async close() {
      if (closed) return;
      closed = true;
      await port.call("close");
      end();
      port.fail(closedError());
    },
    importFiles: (dir, files) =>
      port.call(
        "importFiles",
        dir,
        Array.from(files, (data) => ({ name: data.name, data })),
      ),
    importUrl: (dir, url, onBytes) =>
      during({ rewards: {}, onBytes }, (run) =>
        port.call("importUrl", run, dir, new URL(url, globalThis.location?.href).href),
      ),
  };
}
