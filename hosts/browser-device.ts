/** @file What a browser's thread can open: devices, and the files of its origin. Used by the engine's worker and by pages. */
import { CohortError } from "../core/errors.ts";
import type { Storage } from "../core/host.ts";
import { memoryStorage } from "../core/storage.ts";
import type { StorageKind } from "./browser-messages.ts";
import type { Reach } from "./device.ts";
import { indexedDbStorage } from "./storage-indexeddb.ts";
import { hasOpfs, opfsStorage } from "./storage-opfs.ts";
import type { Spawn } from "./threads.ts";
import { examineWebGpu, hasHardwareGpu, openWebGpu } from "./web-gpu.ts";
import { spawnWebThread, threadsRefused } from "./web-threads.ts";

/** @param spawn how this thread starts others */
export function browserReach(spawn: Spawn = spawnWebThread): Reach {
  const refused = threadsRefused();
  return {
    ...(refused ? { noThreads: refused } : { spawn }),
    cores: navigator.hardwareConcurrency ?? 1,
    openGpu: openWebGpu,
    likelyGpu: hasHardwareGpu,
    examine: examineWebGpu,
  };
}

/** @throws CohortError where the kind that is asked for is not there; "auto" always finds one */
export async function openStorage(kind: StorageKind, root: string): Promise<{ storage: Storage; kind: StorageKind }> {
  if (kind === "memory") return { storage: memoryStorage(), kind };
  if (kind === "opfs" || (kind === "auto" && hasOpfs())) {
    if (!hasOpfs()) throw new CohortError("io", "storage opfs: this browser has none", 'use "indexeddb"');
    try {
      return { storage: await opfsStorage(root), kind: "opfs" };
    } catch (error) {
      // Private windows have the interface and refuse its use; another tab's claim is no reason to go elsewhere.
      const refused = (error as CohortError).cause instanceof DOMException;
      if (kind === "opfs" || !refused) throw error;
    }
  }
  if (kind === "indexeddb") return { storage: await indexedDbStorage(root), kind };
  try {
    return { storage: await indexedDbStorage(root), kind: "indexeddb" };
  } catch (error) {
    if (!((error as CohortError).cause instanceof DOMException)) throw error;
    return { storage: memoryStorage(), kind: "memory" };
  }
}
