/** @file The engine's worker in a page: everything that may block or take long happens here. Started by hosts/browser.ts. */
import type { TrainHooks } from "../core/api.ts";
import { CohortError } from "../core/errors.ts";
import type { Storage } from "../core/host.ts";
import { memoryStorage } from "../core/storage.ts";
import type { PageOffers, SentTask, StorageKind, WorkerOffers } from "./browser-messages.ts";
import { importFiles, importUrl } from "./browser-model.ts";
import { openDevice } from "./device.ts";
import { type AppData, type AppTask, builtInTask, type HostEngine, makeEngine } from "./engine.ts";
import { type Endpoint, join } from "./port.ts";
import { indexedDbStorage } from "./storage-indexeddb.ts";
import { hasOpfs, opfsStorage } from "./storage-opfs.ts";
import { hasHardwareGpu, openWebGpu } from "./web-gpu.ts";
import { spawnWebThread, threadsRefused } from "./web-threads.ts";

async function openStorage(kind: StorageKind, root: string): Promise<{ storage: Storage; kind: StorageKind }> {
  if (kind === "memory") return { storage: memoryStorage(), kind };
  if (kind === "opfs" || (kind === "auto" && hasOpfs())) {
    if (!hasOpfs()) throw new CohortError("io", "storage opfs: this browser has none", 'use "indexeddb"');
    try {
      return { storage: await opfsStorage(root), kind: "opfs" };
    } catch (error) {
      // Private windows have the interface and refuse its use; another tab's claim is no reason to go elsewhere.
      const refused = (error as CohortError).cause instanceof DOMException;
      if (kind === "opfs" || !refused) throw error;
    }
  }
  if (kind === "indexeddb") return { storage: await indexedDbStorage(root), kind };
  try {
    return { storage: await indexedDbStorage(root), kind: "indexeddb" };
  } catch (error) {
    if (!((error as CohortError).cause instanceof DOMException)) throw error;
    return { storage: memoryStorage(), kind: "memory" };
  }
}

let engine: HostEngine;
let storage: Storage;
const stops = new Map<number, AbortController>();

function taskOf(run: number, sent: SentTask | AppData | null): AppTask | AppData | undefined {
  if (!sent) return undefined;
  if ("examples" in sent) return sent;
  const { rewardNames, ...task } = sent;
  const rewards = Object.fromEntries(
    rewardNames.map((name) => [
      name,
      (sample: Parameters<PageOffers["reward"]>[2]) => page.call("reward", run, name, sample),
    ]),
  );
  return { ...task, rewards };
}

const offers: WorkerOffers = {
  async open(options) {
    const refused = threadsRefused();
    const opened = await openDevice(options, {
      ...(refused ? { noThreads: refused } : { spawn: spawnWebThread }),
      cores: navigator.hardwareConcurrency ?? 1,
      openGpu: openWebGpu,
      likelyGpu: hasHardwareGpu,
    });
    const found = await openStorage(options.storage, options.root);
    storage = found.storage;
    engine = makeEngine({
      ...opened,
      storage,
      clock: () => performance.now(),
      taskSource: builtInTask,
    });
    return { device: opened.device.name, threads: opened.threads, storage: found.kind };
  },
  async train(run, config, sent, waits) {
    const stop = new AbortController();
    stops.set(run, stop);
    const hooks: TrainHooks = {
      signal: stop.signal,
      ...(waits && { beforeStep: (step: number) => page.call("beforeStep", run, step) }),
      onStart: (info) => page.tell("onStart", run, info),
      onWarmStart: (progress) => page.tell("onWarmStart", run, progress),
      onStep: (metrics) => page.tell("onStep", run, metrics),
      onEval: (when, result) => page.tell("onEval", run, when, result),
      onNote: (text) => page.tell("onNote", run, text),
    };
    try {
      return await engine.train(config, { ...hooks, task: taskOf(run, sent) });
    } finally {
      stops.delete(run);
    }
  },
  evaluate: (run, config, { checkpoint, reference }, sent) =>
    engine.evaluate(config, {
      ...(checkpoint && { checkpoint }),
      ...(reference && { reference }),
      task: taskOf(run, sent),
      onNote: (text) => page.tell("onNote", run, text),
    }),
  stop: (run) => stops.get(run)?.abort(),
  async sample(options) {
    const results = [];
    for await (const result of engine.sample(options)) results.push(result);
    return results;
  },
  score: (options) => engine.score(options),
  doctor: () => engine.doctor(),
  conformance: (run) => engine.conformance!((row) => page.tell("onKernel", run, row)),
  close: () => engine.close(),
  importFiles: (dir, files) => importFiles(storage, dir, files),
  importUrl: (run, dir, url) => importUrl(storage, dir, url, (file, bytes) => page.tell("onBytes", run, file, bytes)),
  read: (path) => storage.read(path),
  readRange: (path, offset, length) => storage.readRange(path, offset, length),
  size: (path) => storage.size(path),
  write: (path, data) => storage.write(path, data),
  writeBlob: (path, data) => {
    const cut = path.lastIndexOf("/");
    return importFiles(storage, cut < 0 ? "." : path.slice(0, cut), [{ name: path.slice(cut + 1), data }]);
  },
  append: (path, text) => storage.append(path, text),
  list: (path) => storage.list(path),
  exists: (path) => storage.exists(path),
  remove: (path) => storage.remove(path),
  rename: (from, to) => storage.rename(from, to),
};

const page = join<PageOffers>(globalThis as unknown as Endpoint, offers);
