/**
 * @file A model's folder in Hugging Face's layout: opened, checked whole before any weight is read, and saved.
 */
import { CohortError } from "../errors.ts";
import { readText, type Storage } from "../host.ts";
import { joinPath } from "../storage.ts";
import { parseJsonObject } from "./checks.ts";
import { type ModelConfig, parameterShapes, parseModelConfig, toHuggingFace } from "./config.ts";
import {
  loadTensor,
  openWeights,
  type SafetensorsFile,
  type TensorEntry,
  type TensorSource,
  writeWeights,
} from "./safetensors.ts";
import { hasTokenizer, loadTokenizer, ownTokenizerFile, type Tokenizer } from "./tokenizer.ts";

/** A parameter that can be loaded; its name is the canonical one of `parameterShapes`. */
export interface ModelTensor {
  readonly shape: readonly number[];
  /** As in the file: "F32", "BF16", "F16" or "F64". */
  readonly dtype: string;
  /** Its values as float32, [shape] row by row; into the given array where there is one. */
  load(into?: Float32Array): Promise<Float32Array>;
}

export interface ModelDirectory {
  readonly config: ModelConfig;
  /** config.json as it was read; hand it to `saveModelDirectory` to keep what this engine does not know. */
  readonly rawConfig: Record<string, unknown>;
  /** Exactly the parameters of `parameterShapes(config)`, in that order. */
  readonly tensors: ReadonlyMap<string, ModelTensor>;
  /** Absent where the folder has none (see `requireTokenizer`). */
  readonly tokenizer?: Tokenizer;
  /** generation_config.json, or an empty object. */
  readonly generationConfig: Record<string, unknown>;
  /** Tokenizer and generation files by name, to be saved again beside changed weights. */
  readonly files: Record<string, Uint8Array>;
}

/** Files that stand beside the weights and describe the tokenizer or the generation. */
const carried = [
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
  "chat_template.json",
  "vocab.json",
  "merges.txt",
  "tokenizer.model",
  ownTokenizerFile,
];

/** Buffers that old checkpoints carry and that follow from the config. */
const ignored = /\.rotary_emb\.(inv_freq|cos_cached|sin_cached)$|\.attn\.(masked_)?bias$/;

/**
 * Opens a model's folder. Weights are checked by name, shape and format, and loaded only by `load()`.
 *
 * End ids of generation_config.json win over config.json's, as in Hugging Face's generate.
 *
 * @throws CohortError "bad-model" where a file is missing or damaged, or the weights do not fit the config
 */
export async function openModelDirectory(storage: Storage, dir: string): Promise<ModelDirectory> {
  const configPath = joinPath(dir, "config.json");
  if (!(await storage.exists(configPath))) {
    const there = await storage.exists(dir);
    const hubName = there ? undefined : await likelyHubName(storage, dir);
    throw new CohortError(
      "bad-model",
      `openModelDirectory: ${there ? `${dir} has no config.json` : `there is no folder ${dir}`}`,
      `give a folder with config.json, model.safetensors and tokenizer.json${
        hubName
          ? `; a hub's model is fetched first: on Node, \`await downloadModel("${hubName}")\` of cohort/node gives its folder`
          : ""
      }`,
    );
  }
  const rawConfig = parseJsonObject(await readText(storage, configPath), configPath);
  const files: Record<string, Uint8Array> = {};
  for (const name of carried) {
    const path = joinPath(dir, name);
    if (await storage.exists(path)) files[name] = await storage.read(path);
  }
  const generationPath = joinPath(dir, "generation_config.json");
  const generationConfig = files["generation_config.json"]
    ? parseJsonObject(new TextDecoder().decode(files["generation_config.json"]), generationPath)
    : {};
  const idKeys = ["eos_token_id", "bos_token_id", "pad_token_id"] as const;
  const overriding = idKeys.filter((key) => (generationConfig[key] ?? null) !== null);
  const merged = { ...rawConfig, ...Object.fromEntries(overriding.map((key) => [key, generationConfig[key]])) };
  const where = overriding.length > 0 ? `${configPath} (ids from generation_config.json)` : configPath;
  const config = parseModelConfig(merged, where);

  const weights = await openWeights(storage, dir);
  const tensors = matchTensors(storage, dir, config, weights);
  const tokenizer = (await hasTokenizer(storage, dir)) ? await loadTokenizer(storage, dir) : undefined;
  return { config, rawConfig, tensors, tokenizer, generationConfig, files };
}

/** "owner/name" where `dir` ends so and there is no folder "owner": the configuration joined it to its own folder. */
async function likelyHubName(storage: Storage, dir: string): Promise<string | undefined> {
  const ends = /^(?:(?:[A-Za-z]:)?\/(?:.*\/)?)?([A-Za-z0-9][\w.-]*)\/([A-Za-z0-9][\w.-]*)$/;
  const [, owner, name] = ends.exec(dir) ?? [];
  if (owner === undefined || (await storage.exists(dir.slice(0, -name.length - 1)))) return undefined;
  return `${owner}/${name}`;
}

/** The tokenizer of an opened folder. @throws CohortError "bad-model" where it has none */
export function requireTokenizer(model: ModelDirectory, dir: string): Tokenizer {
  if (model.tokenizer) return model.tokenizer;
  throw new CohortError("bad-model", `${dir} has no tokenizer.json`, "add it, or give token ids instead of text");
}

function matchTensors(
  storage: Storage,
  dir: string,
  config: ModelConfig,
  weights: SafetensorsFile,
): Map<string, ModelTensor> {
  const found = new Map<string, TensorEntry>();
  for (const [name, entry] of weights.tensors) {
    if (ignored.test(name) || (config.tieWordEmbeddings && name === "lm_head.weight")) continue;
    // Checkpoints of the bare decoder leave out the prefix of the class that adds the head.
    found.set(/^(model\.|lm_head\.weight$|score\.weight$)/.test(name) ? name : `model.${name}`, entry);
  }

  const tensors = new Map<string, ModelTensor>();
  const missing: string[] = [];
  const misshapen: string[] = [];
  for (const { name, shape } of parameterShapes(config)) {
    const entry = found.get(name);
    found.delete(name);
    if (!entry) {
      missing.push(name);
    } else if (entry.shape.join() !== shape.join()) {
      misshapen.push(`${name} is [${entry.shape.join(", ")}], config.json wants [${shape.join(", ")}]`);
    } else {
      tensors.set(name, { shape, dtype: entry.dtype, load: (into) => loadTensor(storage, entry, into) });
    }
  }
  const fault = (what: string, remedy: string) => new CohortError("bad-model", `${dir}: ${what}`, remedy);
  if (missing.length > 0) {
    const remedy =
      missing.length === 1 && missing[0] === "lm_head.weight"
        ? 'set "tie_word_embeddings": true in config.json if the head is the embedding, or add it'
        : "use weights and config.json of one and the same model";
    throw fault(`${count(missing.length, "tensor")} missing: ${list(missing)}`, remedy);
  }
  if (misshapen.length > 0) {
    throw fault(
      `${count(misshapen.length, "tensor")} of a wrong shape: ${list(misshapen)}`,
      "use the config.json of these weights",
    );
  }
  if (found.size > 0) {
    throw fault(
      `${count(found.size, "tensor")} that the config has no place for: ${list([...found.keys()])}`,
      "use the config.json of these weights (biases and layer counts must agree)",
    );
  }
  return tensors;
}

const count = (n: number, what: string) => `${n} ${what}${n === 1 ? "" : "s"}`;
const list = (names: string[]) => names.slice(0, 5).join(", ") + (names.length > 5 ? ", …" : "");

const torchNames = { F32: "float32", BF16: "bfloat16", F16: "float16" } as const;

export interface SaveModelOptions {
  readonly config: ModelConfig;
  readonly rawConfig?: Record<string, unknown>;
  /** Every parameter of `parameterShapes(config)`; `data` may be a function, called when its turn comes. */
  readonly tensors: Iterable<{
    readonly name: string;
    readonly shape: readonly number[];
    readonly data: Float32Array | (() => Float32Array | Promise<Float32Array>);
  }>;
  /** Tokenizer and generation files by name. */
  readonly files?: Record<string, Uint8Array | string>;
  /** Format on disk, rounded to nearest even. Default "F32". */
  readonly dtype?: "F32" | "BF16" | "F16";
  /** Above this many bytes of weights they are split. Default 5e9. */
  readonly maxShardBytes?: number;
}

/**
 * Saves a model's folder: whole under a temporary name, then renamed, so that a full disk or a stop leaves the old one.
 *
 * @throws CohortError "bad-input" where a tensor is missing or misshapen, or `dir` is a folder of something else; "io"
 */
export async function saveModelDirectory(storage: Storage, dir: string, options: SaveModelOptions): Promise<void> {
  const { config, rawConfig = {}, files = {}, dtype = "F32", maxShardBytes } = options;
  const sources: TensorSource[] = [];
  const wanted = new Map(parameterShapes(config).map(({ name, shape }) => [name, shape]));
  for (const { name, shape, data } of options.tensors) {
    const expected = wanted.get(name);
    if (expected?.join() !== shape.join()) {
      throw new CohortError(
        "bad-input",
        `saveModelDirectory: ${name} [${shape.join(", ")}], ${expected ? `wanted [${expected.join(", ")}]` : "is no parameter left to save"}`,
        "pass each parameter of parameterShapes(config) once",
      );
    }
    wanted.delete(name);
    sources.push({ name, shape, dtype, data });
  }
  if (wanted.size > 0) {
    throw new CohortError(
      "bad-input",
      `saveModelDirectory: ${count(wanted.size, "tensor")} missing: ${list([...wanted.keys()])}`,
      "pass each parameter of parameterShapes(config) once",
    );
  }

  const folder = dir.replace(/\/+$/, "");
  await refuseForeignFolder(storage, folder);
  const temporary = `${folder}.saving`;
  await storage.remove(temporary);
  try {
    const json = JSON.stringify(toHuggingFace(config, rawConfig, torchNames[dtype]), null, 2);
    await storage.write(joinPath(temporary, "config.json"), `${json}\n`);
    for (const [name, data] of Object.entries(files)) await storage.write(joinPath(temporary, name), data);
    await writeWeights(storage, temporary, sources, { maxShardBytes });
    await storage.rename(temporary, folder);
  } catch (error) {
    await storage.remove(temporary).catch(() => undefined);
    throw error;
  }
}

/** The rename would delete what is there: only an empty folder or an older model may be replaced. */
async function refuseForeignFolder(storage: Storage, dir: string): Promise<void> {
  if (!(await storage.exists(dir))) return;
  const names = await storage.list(dir);
  const own = (name: string) =>
    name === "config.json" || carried.includes(name) || /\.safetensors(\.index\.json)?$/.test(name);
  const foreign = names.find((name) => !own(name));
  if (foreign === undefined) return;
  throw new CohortError(
    "bad-input",
    `saveModelDirectory: ${dir} holds ${foreign}, which saving there would delete`,
    "save to a new folder",
  );
}
