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
    exports.workerLoop();
  } catch (error) {
    // Thread 0 looks at word 4 when it wakes (core/wasm/parallel.ts).
    const words = new Int32Array(memory.buffer);
    Atomics.store(words, control / 4 + 4, 1);
    Atomics.notify(words, control / 4);
    throw error;
  }
}`;
