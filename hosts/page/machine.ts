/** @file What this browser and this server give, and what they lack: in words, with what to do. */
import { CohortError } from "../../core/errors.ts";
import { bytes, h } from "./dom.ts";
import { engineState } from "./engine.ts";

/** Why kernels run on one thread, or "". */
function threadsNote(): string {
  if (crossOriginIsolated) return "";
  if (!isSecureContext) {
    return "One thread: browsers let threads share memory only where a page comes over https or from localhost.";
  }
  return navigator.serviceWorker?.controller
    ? "One thread: reload the page once, and the copy that it keeps for offline use also allows threads."
    : "One thread: the server does not send the headers Cross-Origin-Opener-Policy and Cross-Origin-Embedder-Policy. `cohort ui` does; elsewhere reload the page once.";
}

function gpuNote(): string {
  if ("gpu" in navigator && navigator.gpu) return "";
  const why = isSecureContext ? "No WebGPU here" : "No WebGPU: browsers give it to https and localhost only";
  return `${why}: models run on WASM, with the same bits and more patience.`;
}

/** Lines about the device, kept up to date. */
export function machineNotes(): HTMLElement {
  const device = h("span", {}, "opens when it is needed");
  const storage = h("p", { class: "message", "data-kind": "error", hidden: true });
  engineState.watch(({ engine }) => {
    if (!engine) return;
    device.textContent = engine.device;
    const lost = engine.storageKind === "memory";
    storage.hidden = !lost;
    if (lost) {
      storage.textContent =
        "This browser keeps no files for this page (a private window?): a reload loses models and runs. Export what you want to keep.";
    }
  });
  const notes = [threadsNote(), gpuNote()].filter(Boolean);
  return h(
    "div",
    { class: "machine" },
    h("p", {}, "Device: ", h("b", { id: "device" }), device),
    ...notes.map((note) => h("p", { class: "message", "data-kind": "note" }, note)),
    storage,
  );
}

/** Keeps the screen on while `work` runs, where the browser allows: a phone that sleeps does not train. */
export async function awake<T>(work: () => Promise<T>): Promise<T> {
  const lock = await navigator.wakeLock?.request("screen").catch(() => null);
  try {
    return await work();
  } finally {
    await lock?.release().catch(() => undefined);
  }
}

/** Space of this site: used, and how much there may be; null where the browser does not say. */
export async function space(): Promise<{ used: number; quota: number } | null> {
  const found = await navigator.storage?.estimate?.().catch(() => null);
  return found?.quota === undefined ? null : { used: found.usage ?? 0, quota: found.quota };
}

/** @throws CohortError where so many bytes do not fit into this site's space */
export async function checkRoom(what: string, size: number): Promise<void> {
  const room = await space();
  if (!room || room.used + size <= room.quota) return;
  throw new CohortError(
    "io",
    `${what}: ${bytes(size)} do not fit: ${bytes(room.used)} of this site's ${bytes(room.quota)} are used`,
    "remove models or runs that are not needed, or free space on the disk",
  );
}
