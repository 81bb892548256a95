/** @file Models in the page's storage: put there, examined, removed. */
import { CohortError } from "../../core/errors.ts";
import { readText, type Storage } from "../../core/host.ts";
import { type ModelConfig, parseModelConfig } from "../../core/model/config.ts";
import { openModelDirectory } from "../../core/model/directory.ts";
import { memoryEstimate, parameterCount } from "../../core/model/memory.ts";
import { bytes } from "./dom.ts";
import { anyEngine } from "./engine.ts";
import type { ModelFiles } from "./files.ts";
import { space } from "./machine.ts";
import { modelFolder } from "./setup.ts";
import { Store } from "./store.ts";

export interface StoredModel {
  name: string;
  config: ModelConfig;
  parameters: number;
}

export const models = new Store<{ list: readonly StoredModel[] }>({ list: [] });

/** A WASM memory reaches so far. */
export const MOST_MEMORY = 2 ** 32;

/** Peak bytes of training with a batch of this shape: said before it starts. */
export function trainingMemory(
  { config, parameters }: StoredModel,
  given: { trajectories: number; microBatches: number; maxTokens: number; lora: boolean },
): number {
  // A prompt of ordinary length; the engine says the exact number once it has read the prompts.
  const length = given.maxTokens + 32;
  const each = Math.ceil(given.trajectories / given.microBatches);
  return memoryEstimate({
    config,
    trainable: given.lora ? Math.ceil(parameters / 50) : parameters,
    adapters: given.lora ? Math.ceil(parameters / 50) : 0,
    referenceCopy: false,
    microBatchTokens: each * length,
    microBatchScored: each * given.maxTokens,
    cacheRows: given.trajectories * length,
    maxTokens: length,
    threads: navigator.hardwareConcurrency ?? 1,
  });
}

async function examine(storage: Storage, name: string): Promise<StoredModel> {
  const json = JSON.parse(await readText(storage, `${modelFolder(name)}/config.json`));
  const config = parseModelConfig(json, `${name}/config.json`);
  return { name, config, parameters: parameterCount(config) };
}

/** Reads what is stored; folders that are no models are left out. */
export async function refreshModels(): Promise<void> {
  const { storage } = await anyEngine();
  const names = (await storage.exists("models")) ? await storage.list("models") : [];
  const list: StoredModel[] = [];
  for (const name of names) {
    const found = await examine(storage, name.replace(/\/$/, "")).catch(() => null);
    if (found) list.push(found);
  }
  models.set({ list });
}

/**
 * Copies a model into the storage and checks it whole.
 * @throws CohortError where there is no room, or the files do not make a model; nothing of it is then kept
 */
export async function keepModel({ name, files, bytes: size }: ModelFiles): Promise<StoredModel> {
  const engine = await anyEngine();
  const room = await space();
  if (room && room.used + size > room.quota) {
    throw new CohortError(
      "io",
      `model ${name}: ${bytes(size)} do not fit: ${bytes(room.used)} of this site's ${bytes(room.quota)} are used`,
      "remove models or runs that are not needed, or free space on the disk",
    );
  }
  await navigator.storage?.persist?.().catch(() => false);
  // Under another name until it is whole: a failed import leaves an older model of this name as it was.
  const fresh = `models-incoming/${name}`;
  await engine.storage.remove("models-incoming");
  try {
    await engine.importFiles(fresh, files);
    await openModelDirectory(engine.storage, fresh);
    await engine.storage.rename(fresh, modelFolder(name));
  } finally {
    await engine.storage.remove("models-incoming");
  }
  await refreshModels();
  return models.value.list.find((model) => model.name === name)!;
}

export async function removeModel(name: string): Promise<void> {
  await (await anyEngine()).storage.remove(modelFolder(name));
  await refreshModels();
}
