/** Pages: storage, hooks across the worker's boundary, errors in one line, the conformance page; console without errors. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { memoryStorage } from "../../core/storage.ts";
import { chromiumProgram } from "../support/chromium.ts";
import { firefoxProgram } from "../support/firefox.ts";
import { listen } from "../support/pages.ts";
import { Stacks } from "./stacks.ts";
import { storageTranscript } from "./storage-script.ts";

let stacks: Stacks;
beforeAll(async () => {
  stacks = await Stacks.open();
}, 120_000);
afterAll(() => stacks?.close());

const text = (base64: string) => Buffer.from(base64, "base64").toString();

for (const [browser, program] of [
  ["chromium", chromiumProgram()],
  ["firefox", firefoxProgram()],
] as const) {
  describe.skipIf(!program)(`${browser}${program ? "" : " (skipped: it is not installed)"}`, () => {
    test.each(["opfs", "indexeddb"] as const)("files in %s tell the same story as files in memory", async (storage) => {
      const { value, complaints } = await stacks.inPage(browser, false, "transcript", { storage, threads: 1 });
      expect(complaints).toEqual([]);
      const [kind, ...lines] = value;
      expect(kind).toBe(storage);
      expect(lines).toEqual(await storageTranscript(memoryStorage()));
    });

    test("a folder's rename that a crash cut is finished", async () => {
      const { value } = await stacks.inPage(browser, false, "afterCrash");
      expect(Object.fromEntries(Object.entries(value).map(([path, data]) => [path, text(data)]))).toEqual({
        "to/one": "1",
        "to/two": "2",
        "to/deep/three": "3",
      });
    });

    test("one engine at a time on a storage", async () => {
      const { value } = await stacks.inPage(browser, false, "twoEngines");
      expect(value[0]).toBe(
        'CohortError: storage: another tab or worker uses "shared" — close it, or give another root',
      );
      expect(value[1]).toBe("");
    });

    test("hooks and rewards run on the page; its signal stops the run; its reward's error comes through", async () => {
      const { value, complaints } = await stacks.inPage(browser, false, "hooks");
      expect(complaints).toEqual([]);
      expect(value.events).toContain("task app: too few prompts to hold some out; evaluation uses those of training");
      // The stop goes out before the rewards of step 3 do, so that this step is the last.
      expect(value.events.filter((event) => /^(start|step)/.test(event))).toEqual([
        "start",
        "step 1: true",
        "step 2: true",
        "step 3: true",
      ]);
      expect(value.events.slice(-2)).toEqual(["interrupted: true, early", "checkpoint"]);
      expect(value.error).toMatch(/^CohortError: .*no judge today/);
      expect(value.refused[0]).toMatch(/^CohortError: task app: no rewards — did you mean rewards\?/);
      expect(value.refused[1]).toMatch(/^CohortError: engine\.train: the configuration lacks .*parseConfig/);
      for (const late of value.refused.slice(2)) expect(late).toMatch(/^CohortError: the engine is closed — /);
    });

    test("an app's own storage and logger in the worker's run, its own GPUDevice on the page", async () => {
      const { value, complaints } = await stacks.inPage(browser, false, "ownParts");
      expect(complaints).toEqual([]);
      expect(value.kind).toBe("app");
      expect(value.files).toEqual(["checkpoints/", "config.json", "metrics.jsonl", "samples.jsonl"]);
      expect(value.logged).toEqual([1, 2]);
      expect(value.gpu).toMatch(/^(WebGPU, the app's device|none here)$/);
      if (browser === "chromium") expect(value.gpu).not.toBe("none here");
    });

    test("threads without cross-origin isolation, in one line", async () => {
      const { value } = await stacks.inPage(browser, false, "refusal", { threads: 2, storage: "memory" });
      expect(value).toMatch(
        /^CohortError: threads 2: the page is not cross-origin isolated.*Cross-Origin-Opener-Policy/,
      );
      expect(value).not.toContain("\n");
      expect((await stacks.inPage(browser, true, "refusal", { threads: 2, storage: "memory" })).value).toBe("");
    });

    test("a worker that cannot be loaded, in one line", async () => {
      const { value } = await stacks.inPage(browser, false, "refusal", { worker: "/plain/nowhere.js" });
      expect(value).toMatch(/^CohortError: createEngine: the engine's worker failed: .* — reload/);
    });

    test("the conformance page: every kernel has its golden digest under this engine's WASM, and a run trains", async () => {
      const found = await stacks.withPage(browser, async (page) => {
        const complaints = listen(page);
        await page.goto(stacks.pages.url(false, "page/conformance.html?backend=wasm"));
        const wait = `new Promise((resolve) => {
          const look = () => (globalThis.conformance?.done ? resolve({
            found: globalThis.conformance.found,
            status: document.querySelector("#status").textContent,
            rows: document.querySelectorAll("tr").length,
            training: document.querySelector("#training-wasm").textContent,
          }) : setTimeout(look, 50));
          look();
        })`;
        const shown = (await page.evaluate(wait)) as {
          found: { kernels: { failed: string[]; digest: string; golden: string }[]; error?: string }[];
          status: string;
          rows: number;
          training: string;
        };
        expect(complaints).toEqual([]);
        return shown;
      });
      expect(found.found.length).toBe(1);
      expect(found.found[0].error).toBeUndefined();
      expect(found.found[0].kernels.length).toBeGreaterThan(20);
      for (const { failed, digest, golden } of found.found[0].kernels) {
        expect(failed).toEqual([]);
        expect(digest).toBe(golden);
      }
      expect(found.rows).toBe(found.found[0].kernels.length + 1);
      expect(found.training).toMatch(/^3 training steps: digest [0-9a-f]{16}$/);
      expect(found.status).toBe("All exact.");
    });
  });
}

test.skipIf(!chromiumProgram())("a browser without WebGPU, in one line", async () => {
  const { value } = await stacks.inPage("chromium", false, "refusalWithoutGpu");
  expect(value).toMatch(/^CohortError: backend webgpu: this browser has no WebGPU.* — /);
});
