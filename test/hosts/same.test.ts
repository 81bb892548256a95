/**
 * One run, one digest: the same samples, metrics, evaluations and weights on every host and JavaScript engine, and for a
 * run that is handed from host to host. Hosts that are not here are skipped, saying so.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { chromiumProgram } from "../support/chromium.ts";
import { firefoxProgram } from "../support/firefox.ts";
import { bunProgram, denoProgram } from "../support/runtimes.ts";
import { bitsOf, type RunRecord } from "./run.ts";
import { filesOf, hasModel, inNode, inProgram, model, Stacks, toFolder } from "./stacks.ts";

let stacks: Stacks;
let sort: RunRecord;
let stories: RunRecord | null = null;
const fresh = () => stacks.fresh();

beforeAll(async () => {
  stacks = await Stacks.open();
  sort = await inNode({ run: "sort", out: fresh() });
  if (hasModel) stories = await inNode({ run: "stories", out: fresh(), model });
}, 120_000);
afterAll(() => stacks?.close());

const browsers = [
  ["Chromium", chromiumProgram(), "chromium"],
  ["Firefox", firefoxProgram(), "firefox"],
] as const;

test("the run trains: rewards, samples and a weight digest at every step", () => {
  expect(sort.steps).toBe(6);
  expect(new Set(sort.metrics.map((line) => line["digest"])).size).toBe(6);
  expect(sort.samples.split("\n").length).toBeGreaterThan(6);
});

test("Node on two threads", async () => {
  const two = await inNode({ run: "sort", out: fresh() }, { threads: 2 });
  expect(two.device).toContain("2 threads");
  expect(bitsOf(two)).toEqual(bitsOf(sort));
  if (stories) {
    expect(bitsOf(await inNode({ run: "stories", out: fresh(), model }, { threads: 2 }))).toEqual(bitsOf(stories));
  }
});

for (const [name, program, flags] of [
  ["Deno", denoProgram(), ["run", "-A"]],
  ["Bun", bunProgram(), []],
] as const) {
  describe.skipIf(!program)(`${name}${program ? "" : " (skipped: its npm package is absent)"}`, () => {
    for (const threads of [1, 2]) {
      test(`${threads} threads`, async () => {
        const record = await inProgram(program!, [...flags], { run: "sort", out: fresh() }, { threads });
        expect(record.device).toContain(`${threads} thread`);
        expect(bitsOf(record)).toEqual(bitsOf(sort));
      });
    }
    test.skipIf(!hasModel)("stories260K with prompts and a reward of its own", async () => {
      const record = await inProgram(program!, [...flags], { run: "stories", out: fresh(), model }, { threads: 1 });
      expect(bitsOf(record)).toEqual(bitsOf(stories!));
    });
  });
}

for (const [name, program, browser] of browsers) {
  describe.skipIf(!program)(`${name}${program ? "" : " (skipped: it is not installed)"}`, () => {
    test("one thread, without cross-origin isolation", async ({ skip }) => {
      if (!stacks[browser]) skip("it cannot be started here");
      const { record, storage, complaints } = await stacks.runInPage(
        browser,
        false,
        { root: "one" },
        { run: "sort", out: "runs/a" },
      );
      expect(complaints).toEqual([]);
      expect(record.device).toContain("1 thread");
      expect(storage).toBe("opfs");
      expect(bitsOf(record)).toEqual(bitsOf(sort));
    });
    test("two threads, isolated, files in IndexedDB", async ({ skip }) => {
      if (!stacks[browser]) skip("it cannot be started here");
      const options = { threads: 2, storage: "indexeddb", root: "two" } as const;
      const { record, complaints } = await stacks.runInPage(browser, true, options, { run: "sort", out: "runs/a" });
      expect(complaints).toEqual([]);
      expect(record.device).toContain("2 threads");
      expect(bitsOf(record)).toEqual(bitsOf(sort));
    });
    test.skipIf(!hasModel)("stories260K from a URL, rewards on the page", async ({ skip }) => {
      if (!stacks[browser]) skip("it cannot be started here");
      const asked = { run: "stories", out: "runs/s", modelUrl: stacks.pages.url(true, "model") } as const;
      const { record, complaints } = await stacks.runInPage(browser, true, { threads: 2, root: "three" }, asked);
      // Optional files of the model that are not there are looked for, and the browser says so.
      expect(complaints.filter((text) => !text.includes("404"))).toEqual([]);
      expect(bitsOf(record)).toEqual(bitsOf(stories!));
    });
  });
}

test.skipIf(!denoProgram() || !chromiumProgram())(
  "a run begun in Node, continued in Chromium, whose device is lost there, finished in Deno is the uninterrupted run",
  async ({ skip }) => {
    if (!stacks.chromium) skip("Chromium cannot be started here");
    const first = fresh();
    expect((await inNode({ run: "sort", out: first, stopAfter: 2 })).steps).toBe(2);
    const asked = { run: "sort", out: "run", resume: true, stopAfter: 5, files: await filesOf(first) } as const;
    // On WebGPU where Chromium has an adapter, as it has with SwiftShader; WASM takes over after step 3.
    const onGpu = { root: "gpu", backend: "webgpu" } as const;
    const carried = await stacks
      .runInPage("chromium", false, onGpu, { ...asked, loseAfter: 3 })
      .then((done) => {
        expect(done.record.device).toContain("WebGPU");
        expect(done.record.notes).toEqual([
          expect.stringMatching(/^the GPU device was lost \(.*the run goes on after step [2-5] on WASM/),
        ]);
        return done;
      })
      .catch((error: Error) => {
        if (!/has no adapter|no WebGPU/.test(error.message)) throw error;
        return stacks.runInPage("chromium", false, { root: "handover" }, asked);
      });
    // A page's signal reaches the worker when it may be a step further; what lies after step 5 is left behind, as after
    // a crash.
    expect(carried.record.steps).toBeGreaterThanOrEqual(5);
    const later = /^checkpoints\/(step-[6-9]\/|latest)/;
    const kept = Object.fromEntries(Object.entries(carried.files!).filter(([path]) => !later.test(path)));
    expect(Object.keys(kept).filter((path) => path.startsWith("checkpoints/step-5/")).length).toBeGreaterThan(2);
    const last = fresh();
    await toFolder(kept, last);
    const record = await inProgram(
      denoProgram()!,
      ["run", "-A"],
      { run: "sort", out: last, resume: true },
      { threads: 2 },
    );
    expect(bitsOf(record)).toEqual(bitsOf(sort));
  },
  180_000,
);
