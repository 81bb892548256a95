/** @file Models in the page's storage: put there, examined, removed. */
import { CohortError } from "../../core/errors.ts";
import { readText, type Storage } from "../../core/host.ts";
import { type ModelConfig, parseModelConfig } from "../../core/model/config.ts";
import { openModelDirectory } from "../../core/model/directory.ts";
import { memoryEstimate, parameterCount } from "../../core/model/memory.ts";
import { bytes } from "./dom.ts";
import { anyEngine, engineState } from "./engine.ts";
import type { ModelFiles } from "./files.ts";
import { checkRoom } from "./machine.ts";
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
  given: {
    trajectories: number;
    microBatches: number;
    /** of the longest example of a data set; null: of rollouts, whose prompts are of ordinary length */
    tokens: number | null;
    maxTokens: number;
    lora: boolean;
    /** whether a copy of the first weights is kept beside */
    reference: boolean;
  },
): number {
  // The engine says the exact number once it has read prompts or examples.
  const length = Math.ceil(given.tokens ?? given.maxTokens + 32);
  const each = Math.ceil(given.trajectories / given.microBatches);
  return memoryEstimate({
    config,
    trainable: given.lora ? Math.ceil(parameters / 50) : parameters,
    adapters: given.lora ? Math.ceil(parameters / 50) : 0,
    referenceCopy: given.reference,
    microBatchTokens: each * length,
    microBatchScored: each * (given.tokens ?? given.maxTokens),
    cacheRows: given.tokens === null ? given.trajectories * length : 0,
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
  await refuseTooLarge(engine.device, name, files);
  await checkRoom(`model ${name}`, size);
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

/** Whether models are computed in the memory of WASM, with this backend. */
export function onWasm(backend: unknown = "auto"): boolean {
  return backend === "wasm" || (backend === "auto" && !engineState.value.engine?.device.startsWith("WebGPU"));
}

/** Why this model cannot be trained here whatever the settings are, or "". */
export function beyondMemory(model: StoredModel, backend: unknown): string {
  if (!onWasm(backend)) return "";
  const least = { trajectories: 1, microBatches: 1, tokens: null, maxTokens: 1, lora: true, reference: false };
  const need = trainingMemory(model, least);
  if (need < MOST_MEMORY) return "";
  return `model ${model.name}: with adapters and a token at a time training still needs about ${bytes(need)}, and WASM reaches ${bytes(MOST_MEMORY)} — choose a smaller model`;
}

/** @throws CohortError before gigabytes are copied that no memory of this device holds */
async function refuseTooLarge(device: string, name: string, files: readonly File[]): Promise<void> {
  const file = files.find((one) => one.name === "config.json");
  // What is no configuration says so itself once it is read.
  const json =
    file &&
    (await file
      .text()
      .then(JSON.parse)
      .catch(() => null));
  if (!json || !device.startsWith("WASM")) return;
  let weights: number;
  try {
    weights = 4 * parameterCount(parseModelConfig(json, "config.json"));
  } catch {
    return;
  }
  if (weights < MOST_MEMORY) return;
  throw new CohortError(
    "bad-model",
    `model ${name}: its weights take ${bytes(weights)} in memory, and this device (${device}) reaches ${bytes(MOST_MEMORY)}`,
    "choose a smaller model, or a browser with WebGPU on a larger device",
  );
}

export async function removeModel(name: string): Promise<void> {
  await (await anyEngine()).storage.remove(modelFolder(name));
  await refreshModels();
}
