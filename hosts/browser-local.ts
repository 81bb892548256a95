/**
 * @file The engine on the page's own thread: for a GPUDevice of the app, which no worker can be given. Loaded only where it is
 * asked for. Work on WASM would freeze the page here; work on WebGPU leaves it live between steps.
 */
import type { DeviceOptions } from "../core/api.ts";
import { checkWasm } from "./asked.ts";
import type { BrowserEngine, BrowserOptions } from "./browser.ts";
import { browserReach, openStorage } from "./browser-device.ts";
import { importFiles, importUrl } from "./browser-model.ts";
import type { CpuDevice } from "./cpu.ts";
import { openCpu, openDevice } from "./device.ts";
import { builtInTask, makeEngine } from "./engine.ts";
import { withOwnGpu } from "./own-gpu.ts";
import { hasOpfs } from "./storage-opfs.ts";

export async function createDevice(options: DeviceOptions): Promise<CpuDevice> {
  checkWasm(options);
  return openCpu(options, browserReach());
}

export async function createLocalEngine(options: BrowserOptions): Promise<BrowserEngine> {
  const { gpu, storage: asked = "auto", root = "cohort", worker: _, logger, ...device } = options;
  // Only workers may write to the origin's private file system in place.
  const kind = asked === "auto" && !hasOpfs() ? "indexeddb" : asked;
  const found = typeof kind === "string" ? await openStorage(kind, root) : { storage: kind, kind: "app" as const };
  const { storage } = found;
  const opened = await openDevice(...withOwnGpu(device, gpu, browserReach()));
  const engine = makeEngine({
    ...opened,
    storage,
    logger,
    clock: () => performance.now(),
    taskSource: builtInTask,
  });
  return Object.assign(engine, {
    device: opened.device.name,
    threads: opened.threads,
    storageKind: found.kind,
    importFiles: (dir: string, files: Iterable<File>) =>
      importFiles(
        storage,
        dir,
        Array.from(files, (data) => ({ name: data.name, data })),
      ),
    importUrl: (dir: string, url: string | URL, onBytes?: (file: string, bytes: number) => void) =>
      importUrl(storage, dir, new URL(url, globalThis.location?.href).href, onBytes),
  });
}
