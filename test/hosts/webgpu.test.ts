/**
 * The same run on WebGPU over SwiftShader: Dawn in Node and in Chromium, wgpu in Deno and in Firefox. One digest with WASM.
 * Stacks that have no adapter here are skipped, saying so.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { memoryStorage } from "../../core/storage.ts";
import { loadTask } from "../../core/tasks/index.ts";
import { makeEngine } from "../../hosts/engine.ts";
import { cpu } from "../support/devices.ts";
import { softwareGpu } from "../support/gpu.ts";
import { denoProgram } from "../support/runtimes.ts";
import { bitsOf, makeRun, type RunRecord } from "./run.ts";
import { inNode, inProgram, Stacks } from "./stacks.ts";

let stacks: Stacks;
let sort: RunRecord;
beforeAll(async () => {
  stacks = await Stacks.open();
  sort = await inNode({ run: "sort", out: stacks.fresh() });
}, 120_000);
afterAll(() => stacks?.close());

// Firefox looks for finished work ten times a second: every number that is read back takes 100 ms, so that checkpoints,
// which read every tensor, are left to the other tests.
const noAdapter = /has no adapter|no WebGPU/;

test("Node: Dawn", async ({ skip }) => {
  const device = await softwareGpu();
  if (!device) return skip("no software adapter for Dawn here");
  const numeric = await cpu(1);
  const engine = makeEngine({
    device,
    numeric,
    storage: memoryStorage(),
    clock: () => 0,
    threads: 1,
    taskSource: async ({ task }) => loadTask(task as never),
    doctor: async () => ({ adapters: [], auto: "wasm" }),
    close() {
      device.close();
      numeric.close();
    },
  });
  try {
    const record = await makeRun(engine, { run: "sort", out: "run", checkpointEvery: 0 });
    expect(record.device).toContain("WebGPU");
    expect(bitsOf(record)).toEqual(bitsOf(sort));
  } finally {
    await engine.close();
  }
});

// Together: Firefox mostly waits.
test.concurrent("Deno: wgpu", async ({ skip }) => {
  if (!denoProgram()) return skip("its npm package is absent");
  const asked = { run: "sort", out: stacks.fresh(), checkpointEvery: 0 } as const;
  const record = await inProgram(denoProgram()!, ["run", "-A", "--unstable-webgpu"], asked, {
    backend: "webgpu",
  }).catch((error: Error) => {
    if (noAdapter.test(error.message)) return skip("no adapter for Deno here");
    throw error;
  });
  expect(record.device).toMatch(/WebGPU.*SwiftShader/);
  expect(bitsOf(record)).toEqual(bitsOf(sort));
});

for (const browser of ["chromium", "firefox"] as const) {
  test.concurrent(`${browser}: a page`, async ({ skip }) => {
    if (!stacks[browser]) skip("it is not here");
    const asked = { run: "sort", out: "run", checkpointEvery: 0 } as const;
    const { record, complaints } = await stacks
      .runInPage(browser, false, { backend: "webgpu" }, asked)
      .catch((error: Error) => {
        if (noAdapter.test(error.message)) return skip("no adapter here");
        throw error;
      });
    expect(complaints).toEqual([]);
    expect(record.device).toContain("WebGPU");
    expect(bitsOf(record)).toEqual(bitsOf(sort));
  }, 120_000);
}
