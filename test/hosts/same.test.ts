/**
 * One run, one digest: the same samples, metrics, evaluations and weights on every host and JavaScript engine, and for a
 * run that is handed from host to host. Hosts that are not here are skipped, saying so.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Browser as Chromium } from "playwright-core";
import type { Browser as Firefox } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DeviceOptions } from "../../core/api.ts";
import type { BrowserOptions } from "../../hosts/browser.ts";
import { createEngine } from "../../hosts/node.ts";
import { chromiumProgram, openChromium } from "../support/chromium.ts";
import { firefoxProgram, openFirefox } from "../support/firefox.ts";
import { callPage, type Page, type Pages, servePages } from "../support/pages.ts";
import { bunProgram, denoProgram, runProgram } from "../support/runtimes.ts";
import type { CohortTest, Files } from "./page.ts";
import { type Asked, bitsOf, makeRun, type RunRecord } from "./run.ts";

const model = join(import.meta.dirname, "../../../shared/models/stories260K");
const hasModel = existsSync(join(model, "config.json"));
const folder = mkdtempSync(join(tmpdir(), "cohort-hosts-"));
let serial = 0;
const fresh = () => join(folder, `run-${serial++}`);

let pages: Pages;
let chromium: Chromium | null = null;
let firefox: Firefox | null = null;
let sort: RunRecord;
let stories: RunRecord | null = null;

async function inNode(asked: Asked, device: DeviceOptions = { threads: 1 }): Promise<RunRecord> {
  const engine = await createEngine(device);
  try {
    return await makeRun(engine, asked);
  } finally {
    await engine.close();
  }
}

beforeAll(async () => {
  pages = await servePages({ model });
  [chromium, firefox] = await Promise.all([openChromium(), openFirefox()]);
  sort = await inNode({ run: "sort", out: fresh() });
  if (hasModel) stories = await inNode({ run: "stories", out: fresh(), model });
}, 120_000);
afterAll(async () => {
  await Promise.all([chromium?.close(), firefox?.close()]);
  pages?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function inProgram(program: string, flags: string[], asked: Asked, device: DeviceOptions): Promise<RunRecord> {
  const script = join(import.meta.dirname, "program.ts");
  const { code, out, err } = await runProgram(program, [...flags, script, JSON.stringify({ ...asked, device })]);
  if (code !== 0) throw new Error(`ended with ${code}: ${err}`);
  return JSON.parse(out.trim().split("\n").at(-1)!) as RunRecord;
}

type PageRun = Parameters<CohortTest["run"]>[1];
type Opened = Awaited<ReturnType<CohortTest["run"]>> & { complaints: string[] };

async function inChromium(isolated: boolean, options: BrowserOptions, asked: PageRun): Promise<Opened> {
  const context = await chromium!.newContext();
  try {
    return await inPage(await context.newPage(), isolated, options, asked);
  } finally {
    await context.close();
  }
}

async function inFirefox(isolated: boolean, options: BrowserOptions, asked: PageRun): Promise<Opened> {
  const page = await firefox!.newPage();
  try {
    return await inPage(page, isolated, options, asked);
  } finally {
    await page.close();
  }
}

async function inPage(page: Page, isolated: boolean, options: BrowserOptions, asked: PageRun): Promise<Opened> {
  const { value, complaints } = await callPage<Awaited<ReturnType<CohortTest["run"]>>>(
    page,
    pages.url(isolated),
    "run",
    [options, asked],
  );
  return { ...value, complaints };
}

const modelUrl = (isolated: boolean) => pages.url(isolated, "model");
const browsers = [
  ["Chromium", chromiumProgram(), inChromium, () => chromium],
  ["Firefox", firefoxProgram(), inFirefox, () => firefox],
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

for (const [name, program, inBrowser, browser] of browsers) {
  describe.skipIf(!program)(`${name}${program ? "" : " (skipped: it is not installed)"}`, () => {
    test("one thread, without cross-origin isolation", async ({ skip }) => {
      if (!browser()) skip("it cannot be started here");
      const { record, storage, complaints } = await inBrowser(false, { root: "one" }, { run: "sort", out: "runs/a" });
      expect(complaints).toEqual([]);
      expect(record.device).toContain("1 thread");
      expect(storage).toBe("opfs");
      expect(bitsOf(record)).toEqual(bitsOf(sort));
    });
    test("two threads, isolated, files in IndexedDB", async ({ skip }) => {
      if (!browser()) skip("it cannot be started here");
      const options = { threads: 2, storage: "indexeddb", root: "two" } as const;
      const { record, complaints } = await inBrowser(true, options, { run: "sort", out: "runs/a" });
      expect(complaints).toEqual([]);
      expect(record.device).toContain("2 threads");
      expect(bitsOf(record)).toEqual(bitsOf(sort));
    });
    test.skipIf(!hasModel)("stories260K from a URL, rewards on the page", async ({ skip }) => {
      if (!browser()) skip("it cannot be started here");
      const asked = { run: "stories", out: "runs/s", modelUrl: modelUrl(true) } as const;
      const { record, complaints } = await inBrowser(true, { threads: 2, root: "three" }, asked);
      // Optional files of the model that are not there are looked for, and the browser says so.
      expect(complaints.filter((text) => !text.includes("404"))).toEqual([]);
      expect(bitsOf(record)).toEqual(bitsOf(stories!));
    });
  });
}

/** A folder's files as a page gives and takes them. */
async function filesOf(dir: string): Promise<Files> {
  const files: Files = {};
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath ?? entry.path, entry.name);
    files[path.slice(dir.length + 1)] = (await readFile(path)).toString("base64");
  }
  return files;
}

async function toFolder(files: Files, dir: string): Promise<void> {
  for (const [path, data] of Object.entries(files)) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), Buffer.from(data, "base64"));
  }
}

test.skipIf(!denoProgram() || !chromiumProgram())(
  "a run begun in Node, continued in Chromium, finished in Deno is the uninterrupted run",
  async ({ skip }) => {
    if (!chromium) skip("Chromium cannot be started here");
    const first = fresh();
    expect((await inNode({ run: "sort", out: first, stopAfter: 2 })).steps).toBe(2);
    const asked = { run: "sort", out: "run", resume: true, stopAfter: 4, files: await filesOf(first) } as const;
    const carried = await inChromium(false, { root: "handover" }, asked);
    // A page's signal reaches the worker when it may be a step further; what lies after step 4 is left behind, as after
    // a crash.
    expect(carried.record.steps).toBeGreaterThanOrEqual(4);
    const later = /^checkpoints\/(step-[5-9]\/|latest)/;
    const kept = Object.fromEntries(Object.entries(carried.files!).filter(([path]) => !later.test(path)));
    expect(Object.keys(kept).filter((path) => path.startsWith("checkpoints/step-4/")).length).toBeGreaterThan(2);
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
);
