/** @file The stacks that tests run on: Node, programs (Deno, Bun) and pages (Chromium, Firefox), opened and closed together. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Browser as Chromium } from "playwright-core";
import type { Browser as Firefox } from "puppeteer-core";
import type { DeviceOptions } from "../../core/api.ts";
import type { BrowserOptions } from "../../hosts/browser.ts";
import { createEngine } from "../../hosts/node.ts";
import { openChromium } from "../support/chromium.ts";
import { openFirefox } from "../support/firefox.ts";
import { callPage, type Page, type Pages, servePages } from "../support/pages.ts";
import { runProgram } from "../support/runtimes.ts";
import { llvmpipeEnvironment } from "../support/swiftshader.ts";
import type { CohortTest, Files, PageAsked, PageRun } from "./page.ts";
import { type Asked, makeRun, type RunRecord } from "./run.ts";

export const model = join(import.meta.dirname, "../../../shared/models/stories260K");
export const hasModel = existsSync(join(model, "config.json"));

type Offer = keyof CohortTest;
type Result<K extends Offer> = Awaited<ReturnType<CohortTest[K]>>;

export class Stacks {
  readonly folder = mkdtempSync(join(tmpdir(), "cohort-hosts-"));
  readonly pages: Pages;
  /** null where they cannot be started here */
  readonly chromium: Chromium | null;
  readonly firefox: Firefox | null;
  #serial = 0;

  private constructor(pages: Pages, chromium: Chromium | null, firefox: Firefox | null) {
    this.pages = pages;
    this.chromium = chromium;
    this.firefox = firefox;
  }

  static async open(): Promise<Stacks> {
    const [pages, chromium, firefox] = await Promise.all([servePages({ model }), openChromium(), openFirefox()]);
    return new Stacks(pages, chromium, firefox);
  }

  /** Another Firefox, whose WebGPU runs on llvmpipe; its pages are taken away with it. */
  async inLlvmpipe<K extends Offer>(name: K, ...args: Parameters<CohortTest[K]>): Promise<Result<K> | null> {
    if (!llvmpipeEnvironment()) return null;
    const firefox = await openFirefox("llvmpipe");
    if (!firefox) return null;
    try {
      const page = await firefox.newPage();
      return (await callPage<Result<K>>(page, this.pages.url(false), name, args)).value;
    } finally {
      await firefox.close();
    }
  }

  /** The path of a run folder that is not there yet. */
  fresh(): string {
    return join(this.folder, `run-${this.#serial++}`);
  }

  /** Gives a new page with no data of others, and takes it away. */
  async withPage<T>(browser: "chromium" | "firefox", work: (page: Page) => Promise<T>): Promise<T> {
    if (browser === "chromium") {
      const context = await this.chromium!.newContext();
      try {
        return await work(await context.newPage());
      } finally {
        await context.close();
      }
    }
    const context = await this.firefox!.createBrowserContext();
    try {
      return await work(await context.newPage());
    } finally {
      await context.close();
    }
  }

  /** One of the functions of page.ts in a new page, and what the console complained of. */
  inPage<K extends Offer>(
    browser: "chromium" | "firefox",
    isolated: boolean,
    name: K,
    ...args: Parameters<CohortTest[K]>
  ): Promise<{ value: Result<K>; complaints: string[] }> {
    return this.withPage(browser, (page) => callPage<Result<K>>(page, this.pages.url(isolated), name, args));
  }

  /** A run in a page. */
  async runInPage(
    browser: "chromium" | "firefox",
    isolated: boolean,
    options: BrowserOptions,
    asked: PageAsked,
  ): Promise<PageRun & { complaints: string[] }> {
    const { value, complaints } = await this.inPage(browser, isolated, "runs", options, [asked]);
    return { ...value[0], complaints };
  }

  async close(): Promise<void> {
    await Promise.all([this.chromium?.close(), this.firefox?.close()]);
    this.pages.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export async function inNode(asked: Asked, device: DeviceOptions = { threads: 1 }): Promise<RunRecord> {
  const engine = await createEngine(device);
  try {
    return await makeRun(engine, asked);
  } finally {
    await engine.close();
  }
}

/** @param flags of the program, before the script */
export async function inProgram(
  program: string,
  flags: readonly string[],
  asked: Asked,
  device: DeviceOptions,
): Promise<RunRecord> {
  return (await runsInProgram(program, flags, [asked], device))[0];
}

/** One run after the other in one engine. */
export async function runsInProgram(
  program: string,
  flags: readonly string[],
  runs: readonly Asked[],
  device: DeviceOptions,
): Promise<RunRecord[]> {
  const script = join(import.meta.dirname, "program.ts");
  const { code, out, err } = await runProgram(program, [...flags, script, JSON.stringify({ device, runs })]);
  if (code !== 0) throw new Error(`${program} ended with ${code}: ${err}`);
  const lines = out.trim().split("\n").slice(-runs.length);
  return lines.map((line) => JSON.parse(line) as RunRecord);
}

/** A folder's files as a page gives and takes them. */
export async function filesOf(dir: string): Promise<Files> {
  const files: Files = {};
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath ?? entry.path, entry.name);
    files[path.slice(dir.length + 1)] = (await readFile(path)).toString("base64");
  }
  return files;
}

export async function toFolder(files: Files, dir: string): Promise<void> {
  for (const [path, data] of Object.entries(files)) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), Buffer.from(data, "base64"));
  }
}
