/** @file What a test does inside a page, over the built package as an app would load it. Bundled by test/support/pages.ts. */
import type { Storage } from "../../core/host.ts";
import { memoryStorage } from "../../core/storage.ts";
import type { AppTask, BrowserOptions, TrainConfig } from "../../hosts/browser.ts";
import { type Asked, makeRun, type RunRecord } from "./run.ts";
import { storageTranscript } from "./storage-script.ts";

const { createEngine } = (await import(
  new URL("./browser.js", import.meta.url).href
)) as typeof import("../../hosts/browser.ts");

/** A folder's files as base64, by path below it. */
export type Files = Record<string, string>;

const toText = (data: Uint8Array) => btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(""));
const toBytes = (text: string) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

async function filesIn(storage: Storage, dir: string, prefix = ""): Promise<Files> {
  const files: Files = {};
  for (const name of await storage.list(dir)) {
    const path = `${dir}/${name}`.replace(/\/$/, "");
    if (name.endsWith("/")) Object.assign(files, await filesIn(storage, path, prefix + name));
    else files[prefix + name] = toText(await storage.read(path));
  }
  return files;
}

export type PageAsked = Asked & {
  modelUrl?: string;
  /** the run folder as it is before; it then comes back as it is after */
  files?: Files;
  /** the worker's GPUDevice is destroyed after this step, and there is no other */
  loseAfter?: number;
};

export interface PageRun {
  record: RunRecord;
  files?: Files;
  storage: string;
}

/** Runs one after the other in one engine. */
async function runs(options: BrowserOptions, list: readonly PageAsked[]): Promise<PageRun[]> {
  const lose = new BroadcastChannel("lose");
  const losing = list.some(({ loseAfter }) => loseAfter !== undefined);
  const engine = await createEngine(losing ? { ...options, worker: workerAfter(LOSING) } : options);
  const done: PageRun[] = [];
  try {
    for (const asked of list) {
      const { files, modelUrl, loseAfter } = asked;
      if (modelUrl) await engine.importUrl(asked.model ?? "model", modelUrl);
      for (const [path, data] of Object.entries(files ?? {})) {
        await engine.storage.write(`${asked.out}/${path}`, toBytes(data));
      }
      const record = await makeRun(engine, asked, (step) => {
        if (step === loseAfter) lose.postMessage("now");
      });
      const after = files && (await filesIn(engine.storage, asked.out));
      done.push({ record, files: after, storage: engine.storageKind });
    }
    return done;
  } finally {
    await engine.close();
    lose.close();
  }
}

/** The whole conformance suite on the page's adapter: how many cases, and those whose bits are not WASM's. */
async function conformance(options: BrowserOptions): Promise<{ device: string; cases: number; failed: string[] }> {
  const engine = await createEngine({ ...options, storage: "memory" });
  try {
    const { device, kernels } = await engine.conformance!();
    const cases = kernels.reduce((n, row) => n + row.cases, 0);
    return {
      device,
      cases,
      failed: kernels.flatMap(({ kernel, failed }) => failed.map((name) => `${kernel}: ${name}`)),
    };
  } finally {
    await engine.close();
  }
}

/** In the worker: every GPUDevice is destroyed when the page says so, and no adapter is found from then on. */
const LOSING = `const find = navigator.gpu.requestAdapter.bind(navigator.gpu);
  const devices = [];
  let lost = false;
  navigator.gpu.requestAdapter = async (options) => {
    const adapter = lost ? null : await find(options);
    if (!adapter) return null;
    const open = adapter.requestDevice.bind(adapter);
    adapter.requestDevice = async (wanted) => {
      devices.push(await open(wanted));
      return devices.at(-1);
    };
    return adapter;
  };
  const lose = new BroadcastChannel("lose");
  lose.onmessage = () => {
    lost = true;
    for (const device of devices) device.destroy();
  };`;

/** The engine's worker after other code: a Blob that runs it, then loads the worker. */
function workerAfter(code: string): string {
  const script = JSON.stringify(new URL("./browser-worker.js", import.meta.url).href);
  const source = `const early = [];
    const keep = (event) => early.push(event.data);
    addEventListener("message", keep);
    ${code}
    await import(${script});
    removeEventListener("message", keep);
    for (const data of early) dispatchEvent(new MessageEvent("message", { data }));`;
  return URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
}

/** The message of the error that opening the engine gives, or "". */
async function refusal(options: BrowserOptions): Promise<string> {
  try {
    await (await createEngine(options)).close();
    return "";
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
}

/** WebGPU asked for in a worker whose browser has none. */
async function refusalWithoutGpu(): Promise<string> {
  const worker = workerAfter('Object.defineProperty(navigator, "gpu", { value: undefined });');
  return refusal({ backend: "webgpu", storage: "memory", worker });
}

async function transcript(options: BrowserOptions): Promise<string[]> {
  const engine = await createEngine(options);
  try {
    return [engine.storageKind, ...(await storageTranscript(engine.storage))];
  } finally {
    await engine.close();
  }
}

/** A rename of a folder that a crash cut: half of it is moved, and it is written down. */
async function afterCrash(): Promise<Files> {
  const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("crashed", { create: true });
  const put = async (path: string, text: string) => {
    const names = path.split("/");
    let at = root;
    for (const name of names.slice(0, -1)) at = await at.getDirectoryHandle(name, { create: true });
    const file = await (await at.getFileHandle(names.at(-1)!, { create: true })).createWritable();
    await file.write(text);
    await file.close();
  };
  await put("to/one", "1");
  await put("from/two", "2");
  await put("from/deep/three", "3");
  await put(".cohort-temporary/.cohort-rename.json", JSON.stringify({ from: "from", to: "to", cleared: true }));
  await put(".cohort-temporary/0", "cut");
  const engine = await createEngine({ storage: "opfs", root: "crashed", threads: 1 });
  try {
    return await filesIn(engine.storage, ".");
  } finally {
    await engine.close();
  }
}

/** Two engines on one storage; then one after the other. */
async function twoEngines(): Promise<string[]> {
  const first = await createEngine({ root: "shared", threads: 1 });
  const second = await refusal({ root: "shared", threads: 1 });
  await first.close();
  return [second, await refusal({ root: "shared", threads: 1 })];
}

/** Events of a run that is stopped from the page, and a reward that throws. */
async function hooks(): Promise<{ events: string[]; error: string; refused: string[] }> {
  const engine = await createEngine({ storage: "memory", threads: 1 });
  const events: string[] = [];
  const stop = new AbortController();
  const { parseConfig } = (await import(
    new URL("./browser.js", import.meta.url).href
  )) as typeof import("../../hosts/browser.ts");
  const sizes = { hiddenSize: 16, layers: 1, heads: 2, kvHeads: 1, headDim: 8, intermediateSize: 16 };
  const config = {
    model: { config: sizes, tokenizer: "byte" },
    promptsPerStep: 2,
    rolloutsPerPrompt: 2,
    maxTokens: 3,
    steps: 50,
    evalPrompts: 0,
  };
  const prompts = [{ prompt: "a" }];
  try {
    const result = await engine.train(parseConfig({ ...config, out: "stopped" }), {
      signal: stop.signal,
      task: { prompts, rewards: { size: ({ completionIds }) => completionIds.length, zero: () => 0 } },
      onStart: () => events.push("start"),
      onNote: (text) => events.push(text),
      onStep: ({ step, ...metrics }) => {
        events.push(`step ${step}: ${"rewards/size/mean" in metrics && "rewards/zero/mean" in metrics}`);
        if (step === 2) stop.abort();
      },
    });
    events.push(`interrupted: ${result.interrupted}, ${result.steps < 50 ? "early" : "late"}`);
    events.push((await engine.storage.list("stopped/checkpoints")).length > 0 ? "checkpoint" : "no checkpoint");
    const broken = () => {
      throw new Error("no judge today");
    };
    const failing = engine.train(parseConfig({ ...config, out: "failing" }), { task: { prompts, rewards: broken } });
    const said = (work: Promise<unknown>) => work.then(String, (e: Error) => `${e.name}: ${e.message}`);
    const error = await said(failing);
    const misspelt = { prompts, reward: () => 1 } as unknown as AppTask;
    const refused = [await said(engine.train(parseConfig(config), { task: misspelt }))];
    refused.push(await said(engine.train({ steps: 1 } as TrainConfig)));
    await engine.close();
    refused.push(await said(engine.train(parseConfig(config))), await said(engine.doctor()));
    return { events, error, refused };
  } finally {
    await engine.close();
  }
}

/** The app's own storage, used from the worker; its own GPUDevice, used on the page and left alone. */
async function ownParts(): Promise<{ files: string[]; kind: string; logged: number[]; gpu: string }> {
  const storage = memoryStorage();
  const logged: number[] = [];
  const logger = { onMetrics: (step: number) => void logged.push(step) };
  const engine = await createEngine({ storage, logger, threads: 1 });
  const { parseConfig } = (await import(
    new URL("./browser.js", import.meta.url).href
  )) as typeof import("../../hosts/browser.ts");
  const sizes = { hiddenSize: 16, layers: 1, heads: 2, kvHeads: 1, headDim: 8, intermediateSize: 16 };
  const model = { config: sizes, tokenizer: "byte" };
  const run = engine.start(
    parseConfig({ model, promptsPerStep: 1, rolloutsPerPrompt: 2, maxTokens: 3, steps: 2, evalPrompts: 0, out: "own" }),
    { task: { prompts: [{ prompt: "a" }], rewards: ({ completion }) => completion.length } },
  );
  for await (const { step } of run) {
    if (step === 1) run.pause();
    // The step that had begun may end meanwhile; then nothing happens until the run goes on.
    if (run.paused) setTimeout(() => run.resume());
  }
  const kind = engine.storageKind;
  await engine.close();

  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  let gpu = "none here";
  if (adapter) {
    const device = await adapter.requestDevice();
    // Fast precision is not probed, which takes seconds on a software adapter.
    const local = await createEngine({ gpu: device, precision: "fast", storage: "memory" });
    gpu = local.device;
    await local.close();
    const lost = await Promise.race([device.lost.then(() => true), Promise.resolve(false)]);
    if (lost) gpu = "destroyed";
  }
  return { files: await storage.list("own"), kind, logged, gpu };
}

Object.assign(globalThis, {
  cohortTest: { runs, conformance, refusal, refusalWithoutGpu, transcript, afterCrash, twoEngines, hooks, ownParts },
});
export type CohortTest = {
  runs: typeof runs;
  conformance: typeof conformance;
  refusal: typeof refusal;
  refusalWithoutGpu: typeof refusalWithoutGpu;
  transcript: typeof transcript;
  afterCrash: typeof afterCrash;
  twoEngines: typeof twoEngines;
  hooks: typeof hooks;
  ownParts: typeof ownParts;
};
