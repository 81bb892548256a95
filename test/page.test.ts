/**
 * The page in a real browser, as a person uses it: a model dropped in, a reward written or a data set brought, a run trained,
 * paused, closed in the middle, continued, exported, compared, offline; on a desk, on a phone, by keyboard alone; and what it
 * says when something is wrong.
 * Screenshots go to test/artefacts.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import axe from "axe-core";
import { unzipSync } from "fflate";
import type { Browser, BrowserContext, Download, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseConfig } from "../core/config.ts";
import { openModelDirectory } from "../core/model/directory.ts";
import type { Io } from "../hosts/cli/command.ts";
import { main } from "../hosts/cli/main.ts";
import { loadRewardFile } from "../hosts/cli/reward-file.ts";
import { pageServer } from "../hosts/cli/ui.ts";
import { createEngine } from "../hosts/node.ts";
import { nodeStorage } from "../hosts/storage.ts";
import { openChromium } from "./support/chromium.ts";
import { listen } from "./support/pages.ts";

const root = join(import.meta.dirname, "..");
const model = join(root, "../shared/models/stories260K");
const hasModel = existsSync(join(model, "config.json"));
const artefacts = join(import.meta.dirname, "artefacts");

let folder: string;
let built: string;
let browser: Browser | null;
const servers: Server[] = [];

async function serve(server: Server): Promise<string> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://localhost:${(server.address() as AddressInfo).port}/`;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "cohort-page-"));
  built = join(folder, "page");
  mkdirSync(artefacts, { recursive: true });
  execFileSync(process.execPath, [join(root, "hosts/build.mjs"), "page", built], { cwd: root, stdio: "pipe" });
  browser = await openChromium();
}, 120_000);

afterAll(async () => {
  await browser?.close();
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  rmSync(folder, { recursive: true, force: true });
});

const desk = { viewport: { width: 1360, height: 900 } };
const phone = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  isMobile: true,
  hasTouch: true,
  colorScheme: "dark",
} as const;

async function opened(url: string, options: Parameters<Browser["newContext"]>[0] = desk) {
  const context = await browser!.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  // Leaving while a run goes on, and removing: the person means it.
  page.on("dialog", (dialog) => void dialog.accept().catch(() => undefined));
  const complaints = listen(page);
  await page.goto(url);
  return { context, page, complaints };
}

const shot = (page: Page, name: string) => page.screenshot({ path: join(artefacts, `${name}.png`), fullPage: true });

/** What axe finds serious or critical. */
async function barriers(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const found = (await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")) as {
    violations: { id: string; impact: string; nodes: { html: string }[] }[];
  };
  return found.violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ")}`);
}

/** Files into the drop zone, as a person drops them. */
async function dropFiles(page: Page, files: Record<string, Uint8Array>, place = "#model .drop"): Promise<void> {
  const list = Object.entries(files).map(([name, data]) => [name, Buffer.from(data).toString("base64")] as const);
  const transfer = await page.evaluateHandle((given) => {
    const made = new DataTransfer();
    for (const [name, text] of given) {
      made.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
    }
    return made;
  }, list);
  await page.dispatchEvent(place, "drop", { dataTransfer: transfer });
}

const modelFiles = () =>
  Object.fromEntries(readdirSync(model).map((name) => [name, new Uint8Array(readFileSync(join(model, name)))]));

async function writeReward(page: Page, source: string): Promise<void> {
  await page.click("#editor .cm-content");
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.insertText(source);
}

async function settings(page: Page, keys: Record<string, number>): Promise<void> {
  await page.waitForSelector("#view-train:not([hidden])");
  if (!(await page.isVisible("#key-steps"))) await page.click("#h-settings");
  for (const [key, value] of Object.entries(keys)) {
    await page.fill(`#key-${key}`, String(value));
    await page.press(`#key-${key}`, "Enter");
  }
}

const stepOf = (page: Page) =>
  page.evaluate(() => Number(/^Step (\d+)/.exec(document.querySelector("#status")!.textContent!)?.[1] ?? 0));
const untilStep = (page: Page, step: number) =>
  page.waitForFunction(
    (n) => Number(/^Step (\d+)/.exec(document.querySelector("#status")!.textContent!)?.[1] ?? 0) >= n,
    step,
    { polling: 50 },
  );
const untilSaid = (page: Page, place: string, text: string) =>
  page.waitForFunction(
    ([where, what]) => document.querySelector(where)!.textContent!.includes(what),
    [place, text] as const,
    { polling: 50 },
  );
const curve = (page: Page) => page.getAttribute("#plots figure:first-child path.line", "d");

async function unzipped(page: Page, click: () => Promise<unknown>): Promise<Record<string, Uint8Array>> {
  const [download] = await Promise.all([page.waitForEvent("download"), click()] as [Promise<Download>, unknown]);
  const files = unzipSync(readFileSync(await download.path()));
  return Object.fromEntries(Object.entries(files).map(([path, data]) => [path.slice(path.indexOf("/") + 1), data]));
}

const reward = `const vowels = /[aeiou]/g;
export default ({ completion }) => (completion.match(vowels) ?? []).length / (1 + completion.length);
`;
const small = { promptsPerStep: 2, rolloutsPerPrompt: 4, maxTokens: 8, checkpointEvery: 6, learningRate: 0.001 };

/** Orders of letters: the right one chosen, its reverse rejected. */
const pairs = Array.from({ length: 24 }, (_, k) => {
  const letters = [...new Set(`${"abcdefgh"[k % 8]}${"cdefghab"[(k * 3) % 8]}${"fghabcde"[(k * 5) % 8]}xy`)].sort();
  return JSON.stringify({
    prompt: `${[...letters.slice(k % 3), ...letters.slice(0, k % 3)].join("")}>`,
    chosen: letters.join(""),
    rejected: [...letters].reverse().join(""),
  });
});
const answers = pairs.map((line) => {
  const { prompt, chosen: completion } = JSON.parse(line);
  return JSON.stringify({ prompt, completion });
});
const textFile = (text: string) => new TextEncoder().encode(text);

const skipped = hasModel ? "" : " (skipped: ../shared/models is not here)";

describe.skipIf(!hasModel)(`a model, a reward, a run${skipped}`, () => {
  test("on a desk: dropped, trained, paused, closed in the middle, continued, exported, compared, offline", async ({
    skip,
  }) => {
    if (!browser) skip("Chromium cannot be started here");
    const url = await serve(pageServer(built));
    const { context, page, complaints } = await opened(url);
    await dropFiles(page, modelFiles());
    await untilSaid(page, "#model", "is here, and stays");
    expect(await page.textContent("#model")).toContain("260k parameters · 5 layers of width 64");

    // The preview: samples of the model, and what is wrong in words beside the editor.
    await writeReward(page, "export default ({ completion }) => {\n  return completion.length +;\n};\n");
    await untilSaid(page, "#reward", "reward, line 2: SyntaxError");
    expect(await page.textContent(".cm-fault")).toContain("+;");
    await writeReward(page, "export default ({ completionIds }) => completionIds.length;\n");
    await untilSaid(page, "#preview tbody tr:last-child td:last-child", "32");
    await writeReward(page, "export default () => 'much';\n");
    await untilSaid(page, "#reward", "reward returned much: return a finite number");
    await writeReward(page, reward);
    await page.waitForFunction(
      () => {
        const rewards = [...document.querySelectorAll("#preview tbody tr")].map((row) => row.lastChild!.textContent);
        return rewards.length === 6 && rewards.every((text) => Number(text) > 0.1 && Number(text) < 0.7);
      },
      null,
      { polling: 50 },
    );

    await settings(page, { rolloutsPerPrompt: 4096, maxTokens: 512 });
    await untilSaid(page, "#settings", "training it needs about");
    expect(await page.textContent("#settings")).toMatch(/WASM reaches 4\.29 GB — take fewer rollouts, shorter/);
    expect(await page.isDisabled("#train")).toBe(true);
    await settings(page, { ...small, steps: 24, evalEvery: 8 });
    expect(await page.textContent("#derived")).toContain("2 prompts × 4 rollouts = 8 completions; 24 optimiser steps");
    expect(await page.textContent("#device")).not.toBe(null);
    expect(await barriers(page)).toEqual([]);
    await page.click("#train");
    await untilStep(page, 2);
    await page.waitForSelector("#plots path.line");
    const first = await curve(page);
    await untilStep(page, 4);
    await page.waitForFunction((d) => document.querySelector("#plots path.line")!.getAttribute("d") !== d, first);
    await page.click("#pause");
    await untilSaid(page, "#run-message", "Paused after step");
    const paused = await stepOf(page);
    expect(paused).toBeLessThan(24);

    // Continued, and the tab closed while a step is under way: the last checkpoint is where it goes on from.
    await page.click("#continue");
    await untilStep(page, paused + 2);
    await page.reload();
    await untilSaid(page, "#run-message", "it goes on from the checkpoint of step");
    const kept = Number(/checkpoint of step (\d+)/.exec((await page.textContent("#run-message"))!)![1]);
    expect(kept).toBeGreaterThanOrEqual(paused);
    await page.waitForSelector("#plots path.line");
    await page.click("#continue");
    await untilSaid(page, "#run-message", "Finished: 24 steps.");
    expect(await page.textContent("#run")).toContain("Held-out prompts, before and now");
    await page.fill("#evaluation", "0");
    await untilSaid(page, ".slider label", "Before training");
    await page.fill("#evaluation", "2");
    await untilSaid(page, ".slider label", "Before, and after step 16");
    await page.fill("#try-prompt", "Once upon a time");
    await page.click("#try");
    await page.waitForSelector("#try-result .pair > div:nth-child(2)");
    expect(await page.textContent("#try-result")).toMatch(/before.*step 24/);
    expect(await page.locator("#try-result .text").count()).toBe(4);
    await shot(page, "desk-finished");
    const digest = /[0-9a-f]{16}/.exec((await page.textContent("#digest"))!)![0];

    // The exported model is a model folder; the exported run, trained again in Node, has the page's digest.
    const exported = await unzipped(page, () => page.click("#export-model"));
    expect(Object.keys(exported).sort()).toEqual([
      "config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    const there = join(folder, "exported");
    mkdirSync(there);
    for (const [name, data] of Object.entries(exported)) writeFileSync(join(there, name), data);
    expect((await openModelDirectory(nodeStorage(), there)).tensors.size).toBeGreaterThan(40);

    const [report] = await Promise.all([context.waitForEvent("page"), page.click("#open-report")]);
    await report.waitForLoadState();
    const said = (await report.textContent("main"))!;
    for (const part of [
      digest,
      "bit for bit",
      "arXiv 2402.03300",
      "A = (R − mean_g)",
      "pass@1",
      "clip range above 1",
    ]) {
      expect(said).toContain(part);
    }
    expect(await barriers(report)).toEqual([]);
    await shot(report, "report");
    await report.close();

    await page.click('nav a[href="#runs"]');
    await page.waitForSelector("article");
    expect(await page.textContent("#runs")).toMatch(/prompts · grpo · finished/);
    const files = await unzipped(page, () => page.click('button[aria-label^="Run as zip"]'));
    const text = (name: string) => new TextDecoder().decode(files[name]);
    writeFileSync(join(folder, "prompts.mjs"), files["prompts.mjs"]);
    const engine = await createEngine({ threads: 1 });
    try {
      const [{ fn }] = await loadRewardFile(join(folder, "prompts.mjs"));
      const prompts = text("prompts.jsonl")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
      const config = parseConfig({ ...JSON.parse(text("config.json")), model, out: join(folder, "again"), threads: 1 });
      const again = await engine.train(config, { task: { name: "prompts", prompts, rewards: fn, passAt: 0.6 } });
      expect(again.digest).toBe(digest);
    } finally {
      await engine.close();
    }

    // A second recipe, and both in one picture.
    await page.click('nav a[href="#train"]');
    await settings(page, { steps: 4 });
    await page.click('nav a[href="#compare"]');
    await page.fill("#compare-recipes", "dapo");
    await page.click("#compare-train");
    await untilSaid(page, "#compare", "dapo: done.");
    await page.check(`label:has-text("prompts-grpo-0") input`);
    expect(await page.locator("#comparison tbody tr").count()).toBe(2);
    expect(await page.locator('#comparison figure:first-child path[stroke^="var(--s"]').count()).toBe(2);
    expect(await barriers(page)).toEqual([]);
    await shot(page, "desk-compare");

    // Nothing of the server's is needed any more.
    await page.evaluate("navigator.serviceWorker.ready.then(() => 0)");
    await context.setOffline(true);
    await page.goto(`${url}#train`);
    await page.reload();
    await untilSaid(page, "#run-message", "Finished after 4 steps.");
    await page.click("#draw");
    await untilSaid(page, "#reward", "Drawing");
    await page.waitForFunction(() => !document.querySelector<HTMLButtonElement>("#draw")!.disabled);
    expect(await page.locator("#preview tbody tr").count()).toBe(6);
    expect(complaints).toEqual([]);
    await context.close();
  }, 240_000);
});

test("on a phone: a new model learns a built-in task; paused, reloaded, continued", async ({ skip }) => {
  if (!browser) skip("Chromium cannot be started here");
  // A server that sends no headers: the page's own copy brings them after one reload.
  const plain = createServer((request, response) => {
    const name = new URL(request.url!, "http://x").pathname.slice(1) || "index.html";
    const type = { html: "text/html", js: "text/javascript", css: "text/css" }[name.split(".").at(-1)!];
    if (!existsSync(join(built, name))) return response.writeHead(404).end();
    response.writeHead(200, { "Content-Type": type ?? "application/json" }).end(readFileSync(join(built, name)));
  });
  const url = await serve(plain);
  const { context, page, complaints } = await opened(url, phone);
  await page.tap("#h-settings");
  expect(await page.textContent("#settings")).toContain("One thread: the server does not send the headers");
  await page.evaluate("navigator.serviceWorker.ready.then(() => 0)");
  await page.reload();
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);

  await page.tap("#h-settings");
  await page.selectOption("#model-choice", "new:tiny");
  expect(await page.textContent("#task")).toContain("Sort 4 digits");
  await page.waitForFunction(() => document.querySelectorAll("#preview tbody tr").length === 6);
  await settings(page, { steps: 60, promptsPerStep: 4, rolloutsPerPrompt: 4, evalEvery: 30, checkpointEvery: 10 });
  await page.tap("#settings summary");
  await page.fill("#more", '{"evalPrompts": 8, "warmStart": {"steps": 4, "batch": 8, "learningRate": 0.003}}');
  await page.tap("#train");
  await untilStep(page, 2);
  const first = await curve(page);
  await page.waitForFunction((d) => document.querySelector("#plots path.line")!.getAttribute("d") !== d, first);
  await page.tap("#pause");
  await untilSaid(page, "#run-message", "Paused after step");
  await shot(page, "phone-paused");
  await page.reload();
  await page.tap("#continue");
  await untilSaid(page, "#run-message", "Finished: 60 steps.");
  expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
  expect(await barriers(page)).toEqual([]);
  await page.tap('nav a[href="#runs"]');
  await page.waitForSelector("article");
  expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);

  // A data set in place of prompts and reward, on the same screen.
  await page.tap('nav a[href="#train"]');
  await page.selectOption("#task-choice", "data");
  expect(await page.isVisible("#reward")).toBe(false);
  await page.selectOption("#data-choice", "pasted");
  await page.fill(
    "#data-lines",
    `{"prompt": "A long question that fills the line of a phone? ", "chosen": "Yes", "reject": "No"}`,
  );
  await untilSaid(page, "#task", 'pasted.jsonl, line 1: no "rejected" among the columns (prompt, chosen, reject)');
  expect(await page.textContent("#status")).toContain("a new one is not ready: Task says in red why.");
  await page.fill("#data-lines", pairs.slice(0, 9).join("\n"));
  await untilSaid(page, "#task", "Preferences:");
  expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
  const card = page.locator("section:has(#task)");
  await card.screenshot({ path: join(artefacts, "phone-data-dark.png") });
  await page.emulateMedia({ colorScheme: "light" });
  await card.screenshot({ path: join(artefacts, "phone-data-light.png") });
  expect(await barriers(page)).toEqual([]);
  expect(complaints).toEqual([]);
  await context.close();
}, 240_000);

test("a data set: dropped, learned from, its tab closed in mid-step, its disk full, continued, taken to Node; compared, distilled", async ({
  skip,
}) => {
  if (!browser) skip("Chromium cannot be started here");
  const url = await serve(pageServer(built));
  const { context, page: first, complaints } = await opened(url, { ...desk, colorScheme: "dark" });
  let page = first;
  await page.selectOption("#model-choice", "new:tiny");
  await page.waitForSelector("#recipe-choice option[value=dpo]", { state: "attached" });
  await page.selectOption("#recipe-choice", "dpo");
  expect(await page.textContent("#task")).toContain("dpo learns from preferences (prompt, chosen, rejected)");
  expect(await page.isVisible("#reward")).toBe(false);
  expect(await page.locator("#data-rows tbody tr").count()).toBe(5);

  // What is wrong is said with its line, and nothing starts.
  const drop = (name: string, text: string) => dropFiles(page, { [name]: textFile(text) }, "#data-drop");
  await drop("pairs.csv", "prompt,chosen");
  await untilSaid(page, "#task", "pairs.csv: the page reads JSON lines");
  await drop("my pairs.json", [...pairs.slice(0, 2), '{"prompt": 3}', ...pairs.slice(3)].join("\n"));
  await untilSaid(page, "#task", 'my-pairs.jsonl, line 3: no "chosen" or "rejected" among the columns (prompt)');
  expect(await page.isDisabled("#train")).toBe(true);
  await drop("answers.jsonl", '{"prompt": "1+1=", "completion": "2"}\n');
  await untilSaid(
    page,
    "#task",
    "recipe dpo learns from preference examples, answers.jsonl has prompt-completion ones",
  );
  await drop("my pairs.json", pairs.join("\n"));
  await untilSaid(page, "#task", "Preferences:");
  expect(await page.textContent("#data-rows")).toContain("promptchosenrejected");
  await untilSaid(page, "#status", "Ready.");
  await settings(page, { steps: 80, promptsPerStep: 8, checkpointEvery: 4, evalEvery: 40, learningRate: 0.004 });
  expect(await page.textContent("#derived")).toMatch(
    /one optimiser step on 8 examples; 80 steps in all, .* passes over \d+/,
  );
  expect(await page.isVisible("#key-rolloutsPerPrompt")).toBe(false);
  expect(await barriers(page)).toEqual([]);
  await page.click("#train");
  await untilStep(page, 5);

  // The tab is closed while a step is under way, and the page opened again.
  await page.close();
  page = await context.newPage();
  complaints.push(...listen(page));
  page.on("dialog", (dialog) => void dialog.accept().catch(() => undefined));
  await page.goto(url);
  await untilSaid(page, "#run-message", "it goes on from the checkpoint of step");
  await page.click("#continue");
  const from = await stepOf(page);
  await untilStep(page, from + 2);
  const cdp = await context.newCDPSession(page);
  const { origin } = new URL(url);
  const { usage } = (await cdp.send("Storage.getUsageAndQuota", { origin })) as { usage: number };
  await cdp.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: usage + 20_000 });
  await untilSaid(page, "#run-message", "is kept: Continue goes on");
  const full = /the browser's space for this site is full — remove old runs.*The checkpoint of step \d+ is kept/;
  expect(await page.textContent("#run-message")).toMatch(full);
  await cdp.send("Storage.overrideQuotaForOrigin", { origin });
  await page.click("#continue");
  await untilSaid(page, "#run-message", "Finished: 80 steps.");
  expect(await page.textContent("#plots")).toMatch(/loss.*loss, held out.*rewards\/accuracies.*rewards\/margins/);
  expect(await page.inputValue("#try-prompt")).toBe(JSON.parse(pairs[0]).prompt);
  expect(await barriers(page)).toEqual([]);
  await shot(page, "desk-data-dark");
  const digest = /[0-9a-f]{16}/.exec((await page.textContent("#digest"))!)![0];

  // A reward model of the same pairs, and both in one picture.
  await page.selectOption("#recipe-choice", "reward-model-bt");
  await settings(page, { steps: 10 });
  await page.click("#train");
  await untilSaid(page, "#run-message", "Finished: 10 steps.");
  expect(await page.isVisible("#try")).toBe(false);
  await page.click('nav a[href="#compare"]');
  await page.waitForSelector("#comparison tbody tr:nth-child(2)");
  expect(await page.textContent("#comparison")).toMatch(/accuracy, held out.*accuracy of scores/s);
  expect(await page.inputValue("#compare-recipes")).toBe("dpo, ipo, simpo");
  await page.fill("#compare-recipes", "grpo");
  await page.click("#compare-train");
  await untilSaid(page, "#compare", "grpo learn from prompts and a reward, and the task is a data set");
  expect(await barriers(page)).toEqual([]);
  await page.emulateMedia({ colorScheme: "light" });
  await shot(page, "desk-data-compare");
  await page.click('nav a[href="#runs"]');
  await page.waitForSelector("article:nth-child(2)");
  expect(await page.textContent("#runs")).toMatch(/accuracy, held out\d+ % → 100 %/);
  const files = await unzipped(page, () => page.click('button[aria-label="Run as zip: my-pairs-dpo-0"]'));
  const there = join(folder, "from-pairs");
  mkdirSync(there);
  for (const [name, data] of Object.entries(files)) writeFileSync(join(there, name), data);
  const engine = await createEngine({ threads: 1 });
  try {
    const given = JSON.parse(readFileSync(join(there, "config.json"), "utf8"));
    const again = await engine.train(parseConfig({ ...given, out: join(there, "again"), threads: 1 }, { base: there }));
    expect(again.digest).toBe(digest);
  } finally {
    await engine.close();
  }

  // A student of what was trained: its teacher is asked for, and found among the runs.
  await page.click('nav a[href="#train"]');
  await page.selectOption("#recipe-choice", "gkd-jsd");
  await untilSaid(page, "#recipe", "gkd-jsd learns from a teacher — choose one");
  await page.selectOption("#data-choice", "pasted");
  await page.fill("#data-lines", answers.join("\n"));
  await page.selectOption("#teacher", "my-pairs-dpo-0, step 80");
  expect(await page.textContent("#teacher")).not.toContain("reward-model");
  await page.click("#train");
  await untilSaid(page, "#run-message", "Finished: 10 steps.");
  expect(complaints).toEqual([]);
  await context.close();
}, 180_000);

test("by keyboard alone: model, prompts, reward, recipe and settings; trained, paused, continued, exported", async ({
  skip,
}) => {
  if (!browser) skip("Chromium cannot be started here");
  const { context, page, complaints } = await opened(await serve(pageServer(built)));
  await page.waitForSelector("#recipe-choice option[value=rloo]", { state: "attached" });
  const press = (key: string) => page.keyboard.press(key);
  /** Tab, until what is wanted has the focus: nothing is clicked. */
  const reach = async (selector: string, key = "Tab") => {
    for (let k = 0; k < 80; k++) {
      if (await page.evaluate((wanted) => document.activeElement?.closest(wanted) !== null, selector)) return;
      await press(key);
    }
    throw new Error(`${selector} is not reached by ${key}`);
  };
  const write = async (selector: string, text: string) => {
    await reach(selector);
    await press("ControlOrMeta+a");
    await page.keyboard.type(text);
  };
  await press("Tab");
  expect(await page.evaluate(() => document.activeElement!.textContent)).toBe("Skip to the run");
  await reach("#model-choice");
  await press("Home");
  expect(await page.inputValue("#model-choice")).toBe("new:tiny");
  await reach("#task-choice");
  await page.keyboard.type("My own");
  expect(await page.inputValue("#task-choice")).toBe("own");
  await write("#prompts", "Hello\nGood morning");
  await reach(".cm-content");
  await press("ControlOrMeta+a");
  // The editor indents by itself; what is typed stands on one line.
  await page.keyboard.type("export default ({ completion }) => (completion.match(/[a-m]/g) ?? []).length / 8;");
  await untilSaid(page, "#reward", "");
  await reach("#recipe-choice");
  await page.keyboard.type("rloo");
  expect(await page.inputValue("#recipe-choice")).toBe("rloo");
  for (const [key, value] of Object.entries({ ...small, steps: 40, evalEvery: 20 }))
    await write(`#key-${key}`, String(value));
  await reach("#train");
  await press("Enter");
  await untilStep(page, 3);
  await reach("#pause");
  await press("Space");
  await untilSaid(page, "#run-message", "Paused after step");
  expect(await page.evaluate(() => document.activeElement!.id)).toBe("continue");
  await press("Enter");
  await untilSaid(page, "#run-message", "Finished: 40 steps.");
  await reach("#export-model");
  const exported = await unzipped(page, () => press("Enter"));
  expect(Object.keys(exported)).toContain("model.safetensors");
  expect(complaints).toEqual([]);
  await context.close();
}, 120_000);

test("cohort ui: prints its address, serves the built page with the headers for threads and nothing else, ends at Ctrl-C", async () => {
  let stop = () => {};
  let out = "";
  let err = "";
  const io = {
    out: (text: string) => {
      out += text;
    },
    err: (text: string) => {
      err += text;
    },
    terminal: false,
    env: {},
    onInterrupt(callback: () => void) {
      stop = callback;
      return () => {};
    },
  } as unknown as Io;
  const ended = main(["ui", "--port", "0"], io);
  while (!out && !err) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(err).toBe("");
  const url = out.trim();
  const page = await fetch(url);
  expect(page.headers.get("Cross-Origin-Opener-Policy")).toBe("same-origin");
  expect(page.headers.get("Cross-Origin-Embedder-Policy")).toBe("require-corp");
  expect(await page.text()).toContain('<script type="module" src="./main.js">');
  for (const path of ["..%2f..%2fpackage.json", "%2e%2e/cli.js", "nothing", "%"]) {
    expect((await fetch(url + path)).status).toBeGreaterThanOrEqual(400);
  }
  const { port } = new URL(url);
  expect(await main(["ui", "--port", port], io)).toBe(1);
  expect(err).toMatch(/^cohort: ui: cannot listen on 127\.0\.0\.1, port \d+: it is taken — give another --port\n$/);
  stop();
  expect(await ended).toBe(0);
});

describe("what is wrong is said next to it", () => {
  let context: BrowserContext;
  let page: Page;
  let url: string;
  beforeAll(async () => {
    if (!browser) return;
    url = await serve(pageServer(built));
    ({ context, page } = await opened(url));
  });
  afterAll(() => context?.close());
  const byKeyboard = async (keys: Record<string, number>) => settings(page, keys);

  test("the keyboard alone reaches the run", async ({ skip }) => {
    if (!browser) skip("Chromium cannot be started here");
    await page.keyboard.press("Tab");
    expect(await page.evaluate(() => document.activeElement!.textContent)).toBe("Skip to the run");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    expect(await page.evaluate(() => document.activeElement!.id)).toBe("train");
    expect(await page.isVisible("#train")).toBe(true);
  });

  test("files that are no model", async ({ skip }) => {
    if (!browser) skip("Chromium cannot be started here");
    await dropFiles(page, { "weights.gguf": new Uint8Array(3) });
    await untilSaid(page, "#model", "no config.json among weights.gguf");
    await dropFiles(page, { "config.json": new TextEncoder().encode("{}"), "model.safetensors": new Uint8Array(3) });
    const refused = "#model .message[data-kind=error]:not([hidden])";
    await page.waitForSelector(refused);
    expect(await page.textContent(refused)).toMatch(/config\.json.* — /);
    expect(await page.locator("#model option").count()).toBe(3);
  });

  test("a model too large for the device, before and after it is here", async ({ skip }) => {
    if (!browser) skip("Chromium cannot be started here");
    const config = {
      model_type: "llama",
      architectures: ["LlamaForCausalLM"],
      hidden_size: 8192,
      num_hidden_layers: 80,
      num_attention_heads: 64,
      num_key_value_heads: 8,
      intermediate_size: 28672,
      vocab_size: 32000,
      max_position_embeddings: 4096,
    };
    const json = JSON.stringify(config);
    await dropFiles(page, { "config.json": textFile(json), "model.safetensors": new Uint8Array(9) });
    await untilSaid(page, "#model", "model model: its weights take 276 GB in memory, and this device (WASM");
    // A gigabyte of weights fits, and training it does not, whatever the settings: put there without its weights.
    await page.evaluate(
      async (text) => {
        let folder = await navigator.storage.getDirectory();
        for (const name of ["cohort-page", "models", "large"])
          folder = await folder.getDirectoryHandle(name, { create: true });
        const file = await (await folder.getFileHandle("config.json", { create: true })).createWritable();
        await file.write(text);
        await file.close();
      },
      JSON.stringify({
        ...config,
        hidden_size: 4096,
        num_hidden_layers: 4,
        num_attention_heads: 32,
        intermediate_size: 14336,
      }),
    );
    await page.reload();
    await page.waitForSelector("#model-choice option[value='stored:large']", { state: "attached" });
    await page.selectOption("#model-choice", "stored:large");
    await untilSaid(page, "#model", "with adapters and a token at a time training still needs about");
    await untilSaid(page, "#status", "Not ready: Model says in red why.");
    await page.click("#model button.quiet");
    await untilSaid(page, "#status", "Ready.");
  });

  test("a reward that is no JavaScript: marked, and nothing starts", async ({ skip }) => {
    if (!browser) skip("Chromium cannot be started here");
    await page.selectOption("#task-choice", "own");
    await writeReward(page, "export default (sample) => {\n  return sample.;\n};\n");
    await untilSaid(page, "#reward", "reward, line 2: SyntaxError");
    await untilSaid(page, "#status", "Not ready: Reward says in red why.");
    expect(await page.isDisabled("#train")).toBe(true);
    await page.selectOption("#task-choice", "sort");
    await untilSaid(page, "#status", "Ready.");
  });

  test("settings out of range, and an unknown key", async ({ skip }) => {
    if (!browser) skip("Chromium cannot be started here");
    await byKeyboard({ steps: -3 });
    await untilSaid(page, "#settings", "steps is -3, want a whole number of at least 0");
    expect(await page.isDisabled("#train")).toBe(true);
    await byKeyboard({ steps: 6 });
    await page.evaluate(() => {
      document.querySelector<HTMLDetailsElement>("#settings details")!.open = true;
    });
    await page.fill("#more", '{"learnRate": 1}');
    await untilSaid(page, "#settings", "learnRate is not a key (did you mean learningRate?)");
    await page.fill("#more", "");
    await untilSaid(page, "#status", "Ready.");
    await page.fill("#recipe details input", "-1");
    await page.press("#recipe details input", "Enter");
    await untilSaid(page, "#recipe", "Give a number of at least 0.");
  });

  test("no WebGPU", async ({ skip }) => {
    if (!browser) skip("Chromium cannot be started here");
    const without = await browser!.newContext(desk);
    await without.addInitScript("Object.defineProperty(Navigator.prototype, 'gpu', { get: () => undefined })");
    const other = await without.newPage();
    await other.goto(url);
    expect(await other.textContent("#settings")).toContain("No WebGPU here: models run on WASM, with the same bits");
    await other.selectOption("#key-backend", "webgpu");
    await untilSaid(
      other,
      "#settings",
      "backend is webgpu, and this browser gives the page no WebGPU — set it to auto or wasm",
    );
    expect(await other.isDisabled("#train")).toBe(true);
    await other.selectOption("#key-backend", "auto");
    await untilSaid(other, "#status", "Ready.");
    await without.close();
  });

  test("a second tab", async ({ skip }) => {
    if (!browser) skip("Chromium cannot be started here");
    const second = await context.newPage();
    await second.goto(url);
    await untilSaid(second, "#model", "another tab or worker uses");
    await second.close();
  });

  test("a reward that throws in mid-run: the checkpoint is kept, and Continue offered", async ({ skip }) => {
    if (!browser) skip("Chromium cannot be started here");
    await page.selectOption("#model-choice", "new:tiny");
    await page.selectOption("#task-choice", "own");
    // It fails at a completion count that the preview does not reach.
    await writeReward(
      page,
      "let n = 0;\nexport default () => {\n  if (++n > 40) throw new Error('the judge is gone');\n  return n % 2;\n};\n",
    );
    await byKeyboard({ ...small, steps: 8, maxTokens: 4, checkpointEvery: 2 });
    await page.click("#train");
    await untilSaid(page, "#run-message", "the judge is gone");
    expect(await page.textContent("#run-message")).toMatch(/The checkpoint of step \d+ is kept: Continue goes on/);
    expect(await page.isVisible("#continue")).toBe(true);
  });

  test("a full disk quota: said, and what was there survives", async ({ skip }) => {
    if (!browser) skip("Chromium cannot be started here");
    const cdp = await context.newCDPSession(page);
    const { origin } = new URL(url);
    const { usage } = (await cdp.send("Storage.getUsageAndQuota", { origin })) as { usage: number };
    await cdp.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: usage + 20_000 });
    await dropFiles(page, { "config.json": new Uint8Array(90_000), "model.safetensors": new Uint8Array(9) });
    await untilSaid(page, "#model", "do not fit");
    await page.selectOption("#task-choice", "own");
    await writeReward(page, "export default () => Math.random();\n");
    await page.click("#train");
    await untilSaid(page, "#run-message", "the browser's space for this site is full — remove old runs");
    await cdp.send("Storage.overrideQuotaForOrigin", { origin });
    await page.click('nav a[href="#runs"]');
    await page.waitForSelector("article");
    expect(await page.locator("article").count()).toBe(2);
    await page.click('nav a[href="#train"]');
  });

  test("a reward that does not end", async ({ skip }) => {
    if (!browser) skip("Chromium cannot be started here");
    await page.selectOption("#task-choice", "own");
    await writeReward(page, "export default () => {\n  for (;;);\n};\n");
    await untilSaid(page, "#reward", "reward: no answer for 3 s — look for a loop that does not end");
    // The ready-made ones are there, the sandbox's worker among them.
    await writeReward(
      page,
      'import { codeTests, mathAnswer } from "cohort/rewards";\nexport default mathAnswer();\nexport const code = codeTests();\n',
    );
    await page.fill("#prompts", '{"prompt": "Half of 1? ", "answer": "1/2", "tests": ["twice(2) === 4"]}');
    await page.fill("#attempt", "\\frac{1}{2}");
    await untilSaid(page, "#preview", "1 (code 0, reward 1)");
    await page.fill("#attempt", "const twice = (x) => 2 * x;");
    await untilSaid(page, "#preview", "1 (code 1, reward 0)");
  });
});
