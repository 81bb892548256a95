/** @file The one engine of the page: opened when it is first needed, opened anew where another device is asked for. */
import type { DeviceOptions } from "../../core/api.ts";
import { type BrowserEngine, createEngine } from "../browser.ts";
import { Store } from "./store.ts";

export interface EngineState {
  engine: BrowserEngine | null;
  /** what it is at; "" where it waits */
  busy: string;
}

export const engineState = new Store<EngineState>({ engine: null, busy: "" });

const ATTEMPTS = 3;
const PAUSE = 300;

let opening: Promise<BrowserEngine> | undefined;
let opened = "";
let queue: Promise<unknown> = Promise.resolve();

/** The engine, on the device that is asked for. One device at a time: it owns the page's files. */
export async function openEngine(options: Pick<DeviceOptions, "backend" | "precision"> = {}): Promise<BrowserEngine> {
  // Precisions 12 and 24 are one device.
  const wanted = `${options.backend ?? "auto"} ${options.precision === "fast" ? "fast" : "exact"}`;
  if (opening && opened === wanted) return opening;
  const before = opening;
  opened = wanted;
  opening = (async () => {
    await (await before?.catch(() => null))?.close();
    engineState.set({ engine: null });
    const engine = await patiently(() => createEngine({ ...options, root: "cohort-page" }));
    engineState.set({ engine });
    return engine;
  })();
  opening.catch(() => {
    if (opened === wanted) {
      opening = undefined;
      opened = "";
    }
  });
  return opening;
}

/** A page that was just left, or an engine just closed, may hold the files for a moment more. */
async function patiently<T>(open: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await open();
    } catch (error) {
      if (attempt === ATTEMPTS || !/another tab or worker/.test((error as Error).message)) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }
}

/** Whatever engine there is: for files, which every device reaches. */
export const anyEngine = (): Promise<BrowserEngine> => opening ?? openEngine();

/** Works that use the device go one after the other; `what` is said while one runs. */
export function exclusively<T>(what: string, work: () => Promise<T>): Promise<T> {
  const result = queue.then(async () => {
    engineState.set({ busy: what });
    try {
      return await work();
    } finally {
      engineState.set({ busy: "" });
    }
  });
  queue = result.catch(() => undefined);
  return result;
}
