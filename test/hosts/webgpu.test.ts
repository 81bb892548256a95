/**
 * The same runs on WebGPU: Dawn in Node and in Chromium, wgpu in Deno and in Firefox, over SwiftShader; wgpu in Firefox over
 * llvmpipe. One digest with WASM. Stacks that have no adapter here are skipped, saying so.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { conformanceCases } from "../../core/conformance.ts";
import { memoryStorage } from "../../core/storage.ts";
import { builtInTask, makeEngine } from "../../hosts/engine.ts";
import { GpuDevice } from "../../hosts/gpu.ts";
import { nodeStorage } from "../../hosts/storage.ts";
import { all, NOT_ASKED } from "../support/all.ts";
import { cpu } from "../support/devices.ts";
import { softwareGpu } from "../support/gpu.ts";
import { denoProgram } from "../support/runtimes.ts";
import type { PageAsked } from "./page.ts";
import { type Asked, bitsOf, makeRun, type RunRecord } from "./run.ts";
import { hasModel, inNode, model, runsInProgram, Stacks } from "./stacks.ts";

let stacks: Stacks;
/** On WASM: the built-in task, and stories260K where it is there. */
const wanted: RunRecord[] = [];

// Firefox looks for finished work ten times a second: every number that is read back takes 100 ms, so that checkpoints,
// which read every tensor, are left to the other tests.
const asked = (out: () => string, own: Partial<Asked> = {}): Asked[] => [
  { run: "sort", out: out(), checkpointEvery: 0 },
  ...(hasModel ? [{ run: "stories", out: out(), checkpointEvery: 0, ...own } as const] : []),
];

beforeAll(async () => {
  stacks = await Stacks.open();
  for (const one of asked(() => stacks.fresh(), { model })) wanted.push(await inNode(one));
}, 120_000);
afterAll(() => stacks?.close());

function expectSame(records: readonly RunRecord[], device: RegExp): void {
  for (const record of records) expect(record.device).toMatch(device);
  expect(records.map(bitsOf)).toEqual(wanted.map(bitsOf));
}

const noAdapter = /has no adapter|no WebGPU/;
const hasNone = (error: Error): null => {
  if (noAdapter.test(error.message)) return null;
  throw error;
};

test("Node: Dawn; stories260K with bindings so small that the embedding and the logits are worked on in windows", async ({
  skip,
}) => {
  const device = await softwareGpu();
  if (!device) return skip("no software adapter for Dawn here");
  const numeric = await cpu(1);
  const devices = [device, new GpuDevice(device.gpu, { maxBinding: 2 ** 16 })];
  const records: RunRecord[] = [];
  for (const [i, one] of asked(() => stacks.fresh(), { model }).entries()) {
    const engine = makeEngine({
      device: devices[i],
      numeric,
      storage: i === 0 ? memoryStorage() : nodeStorage(),
      clock: () => 0,
      threads: 1,
      taskSource: builtInTask,
      doctor: async () => ({ adapters: [], auto: "wasm" }),
      close() {},
    });
    records.push(await makeRun(engine, one));
    if (one.run === "stories") continue;
    for (const run of ["rows", "noise"] as const) {
      const other = { ...one, run, out: stacks.fresh() };
      expect(bitsOf(await makeRun(engine, other))).toEqual(bitsOf(await inNode(other)));
    }
  }
  expectSame(records, /WebGPU/);
  expect(device.fault).toBeNull();
  for (const d of devices.reverse()) d.close();
  numeric.close();
}, 300_000);

// Together: Firefox mostly waits. Two minutes in CI, three where others work on the machine.
test.concurrent("Deno: wgpu", async ({ skip }) => {
  if (!denoProgram()) return skip("its npm package is absent");
  const runs = asked(() => stacks.fresh(), { model });
  const flags = ["run", "-A", "--unstable-webgpu"];
  const records = await runsInProgram(denoProgram()!, flags, runs, { backend: "webgpu" }).catch(hasNone);
  if (!records) return skip("no adapter for Deno here");
  expectSame(records, /WebGPU.*SwiftShader/);
}, 600_000);

const inPage = (): PageAsked[] =>
  asked(() => `run-${serial++}`, { model: "model" }).map((one) =>
    one.run === "stories" ? { ...one, modelUrl: stacks.pages.url(false, "model") } : one,
  );
let serial = 0;

/*
 * Every case of the suite in browsers too, as in Node and Deno (test/gpu-kernels.test.ts, test/gpu-deno.test.ts). Software
 * adapters take a minute more to compile all of it thrice: continuous integration does, `npm test` leaves it at whole runs.
 */

function expectConformance(done: { device: string; cases: number; failed: string[] }): void {
  expect(done.failed).toEqual([]);
  expect(done.device).toMatch(/WebGPU/);
  expect(done.cases).toBe(conformanceCases().length);
}

for (const browser of ["chromium", "firefox"] as const) {
  test.concurrent(`${browser}: every kernel`, async ({ skip }) => {
    if (!all) skip(NOT_ASKED);
    if (!stacks[browser]) skip("it is not here");
    const done = await stacks.inPage(browser, false, "conformance", { backend: "webgpu" }).catch(hasNone);
    if (!done) return skip("no adapter here");
    expectConformance(done.value);
  }, 600_000);

  test.concurrent(`${browser}: a page`, async ({ skip }) => {
    if (!stacks[browser]) skip("it is not here");
    const done = await stacks.inPage(browser, false, "runs", { backend: "webgpu" }, inPage()).catch(hasNone);
    if (!done) return skip("no adapter here");
    // Optional files of the model that are not there are looked for, and the browser says so.
    expect(done.complaints.filter((text) => !text.includes("404"))).toEqual([]);
    expectSame(
      done.value.map(({ record }) => record),
      /WebGPU/,
    );
  }, 600_000);
}

test.concurrent("Firefox: every kernel, over llvmpipe", async ({ skip }) => {
  if (!all) skip(NOT_ASKED);
  const done = await stacks.inLlvmpipe("conformance", { backend: "webgpu" }).catch(hasNone);
  if (!done) return skip("Firefox or Debian's mesa-vulkan-drivers is not installed");
  expectConformance(done);
}, 600_000);

// Firefox does not say what its adapter is called; there is no other driver in its environment.
test.concurrent("Firefox: a page, over llvmpipe", async ({ skip }) => {
  const done = await stacks.inLlvmpipe("runs", { backend: "webgpu" }, inPage()).catch(hasNone);
  if (!done) return skip("Firefox or Debian's mesa-vulkan-drivers is not installed");
  expectSame(
    done.map(({ record }) => record),
    /WebGPU/,
  );
}, 600_000);
