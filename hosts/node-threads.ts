/** @file Kernel threads in Node: worker_threads that sleep in WASM until there is work. */
import { Worker } from "node:worker_threads";
import { type Spawn, workerMain } from "./threads.ts";

const source = `
const { parentPort, workerData } = require("node:worker_threads");
(${workerMain})(workerData, () => parentPort.postMessage("ready")).catch((error) => { throw error; });
`;

export const spawnThread: Spawn = (start) =>
  new Promise((resolve, reject) => {
    const worker = new Worker(source, { eval: true, workerData: start });
    worker.once("error", reject);
    worker.once("message", () => {
      // Only now: an unreferenced worker would let the process end before it is up.
      worker.unref();
      resolve({ terminate: () => void worker.terminate() });
    });
  });
