/** @file Kernel threads where there are Web Workers (browsers, Deno, Bun): module workers made from a Blob. */
import { CohortError } from "../core/errors.ts";
import { type Spawn, workerMain } from "./threads.ts";

const source = `
const main = ${workerMain};
self.onmessage = ({ data }) =>
  main(data, () => self.postMessage("ready")).catch((error) => {
    setTimeout(() => { throw error; });
  });
`;

let url: string | undefined;

export const spawnWebThread: Spawn = (start) =>
  new Promise((resolve, reject) => {
    url ??= URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const worker = new Worker(url, { type: "module" });
    const fail = (reason: string) => {
      worker.terminate();
      reject(new CohortError("device", `spawnWebThread: a kernel thread cannot be started: ${reason}`, "use 1 thread"));
    };
    worker.onerror = (event) => {
      event.preventDefault();
      fail(event.message || "the worker was refused (its Content-Security-Policy must allow worker-src blob:)");
    };
    worker.onmessage = () => resolve({ terminate: () => worker.terminate() });
    try {
      worker.postMessage(start);
    } catch (error) {
      fail((error as Error).message);
    }
  });

/** Why this page cannot run threads, and what to do; undefined where it can. */
export function threadsRefused(): [reason: string, remedy: string] | undefined {
  // Deno and Bun share memory always and have no such flag; a page needs its server's headers.
  if ((globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated !== false) return undefined;
  return [
    "the page is not cross-origin isolated, so that threads cannot share memory",
    "serve it with Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp, or use 1",
  ];
}
