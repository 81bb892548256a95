/** @file Kernel threads, whatever starts them: what each is given, and what it runs. */

/** What a worker thread is started with; hosts decide how. */
export interface WorkerStart {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  control: number;
  index: number;
  threads: number;
}

/** Starts a thread that runs `workerMain(start)` and resolves when it is up. */
export type Spawn = (start: WorkerStart) => Promise<{ terminate(): void }>;

/**
 * Source of the function that a worker runs, as text: workers are made from a string or a Blob, so that no bundler has
 * to know of them. Takes (start, ready).
 */
export const workerMain = `async ({ module, memory, control, index, threads }, ready) => {
  const imports = { env: { memory, abort() { throw new Error("kernel worker aborted"); } } };
  const { exports } = await WebAssembly.instantiate(module, imports);
  exports.configure(control, index, threads);
  ready();
  try {
    exports.workerLoop(0);
  } catch (error) {
    const words = new Int32Array(memory.buffer);
    const at = control / 4;
    Atomics.store(words, at + 10, 1);
    Atomics.add(words, at + 4, 1);
    Atomics.notify(words, at + 4);
    throw error;
  }
}`;
