/** @file The engine's worker in a page: everything that may block or take long happens here. Started by hosts/browser.ts. */
import type { TrainHooks } from "../core/api.ts";
import type { Storage } from "../core/host.ts";
import { browserReach, openStorage } from "./browser-device.ts";
import type { PageOffers, SentTask, WorkerOffers } from "./browser-messages.ts";
import { importFiles, importUrl } from "./browser-model.ts";
import { openDevice } from "./device.ts";
import { type AppData, type AppTask, builtInTask, type HostEngine, makeEngine } from "./engine.ts";
import { type Endpoint, join } from "./port.ts";
import { storageOffers, storageOver } from "./storage-port.ts";
import type { Spawn } from "./threads.ts";

/** The page starts the kernel threads: Firefox sometimes never returns from `new Worker` inside a worker. */
const spawnOnPage: Spawn = async (start) => {
  const thread = await page.call("startThread", start);
  return { terminate: () => page.tell("endThread", thread) };
};

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
    const opened = await openDevice(options, browserReach(spawnOnPage));
    const found =
      options.storage === "app"
        ? { storage: storageOver(page), kind: options.storage }
        : await openStorage(options.storage, options.root);
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
  conformance: (run, only) => engine.conformance!((row) => page.tell("onKernel", run, row), only),
  close: () => engine.close(),
  importFiles: (dir, files) => importFiles(storage, dir, files),
  importUrl: (run, dir, url) => importUrl(storage, dir, url, (file, bytes) => page.tell("onBytes", run, file, bytes)),
  ...storageOffers(() => storage),
};

const page = join<PageOffers>(globalThis as unknown as Endpoint, offers);
