/** @file Models on a device: from a folder, or new from a config and a seed; adapters; saving. */
import type { Device, Precision } from "../device.ts";
import { CohortError } from "../errors.ts";
import { known, number, shown } from "../given.ts";
import { readText, type Storage } from "../host.ts";
import type { Numeric } from "../math.ts";
import { streams } from "../rng.ts";
import { joinPath } from "../storage.ts";
import {
  type Adapter,
  type LoraConfig,
  loraScale,
  loraTargets,
  openAdapter,
  parseAdapterConfig,
  saveAdapter,
} from "./adapter.ts";
import { type ModelConfig, type ParameterShape, parameterShapes } from "./config.ts";
import { openModelDirectory, requireTokenizer, saveModelDirectory } from "./directory.ts";
import { adapterName, adapterParameter, type LoraPair } from "./lora.ts";
import type { Parameter } from "./parameters.ts";
import { ropeFrequencies } from "./rope.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { Transformer } from "./transformer.ts";

const adapterConfig = "adapter_config.json";

/** A model with what belongs to it on disk. */
export interface LoadedModel {
  model: Transformer;
  tokenizer: Tokenizer;
  /** Every id that ends a completion. */
  stopIds: readonly number[];
  rawConfig: Record<string, unknown>;
  /** Tokenizer and generation files, saved again beside changed weights. */
  files: Record<string, Uint8Array | string>;
}

export interface LoadOptions {
  precision: Precision;
  /** Longest sequence that will be asked for; the angle table has so many rows. Default: the model's context. */
  maxTokens?: number;
  /** A reward model: a language model without a score head gets a new one, drawn from this seed. */
  score?: { seed: number };
}

const optionNames: Record<keyof LoadOptions, true> = { precision: true, maxTokens: true, score: true };

/** Before a weight is on the device. */
function checkOptions(where: string, options: LoadOptions): void {
  known(where, options, optionNames);
  const { precision, maxTokens } = options;
  if (precision !== 12 && precision !== 24) {
    const fast = (precision as unknown) === "fast" ? "; fast kernels are the device's, whose models have 12" : "";
    throw new CohortError("bad-input", `${where}: precision is ${shown(precision)}`, `give 12 or 24${fast}`);
  }
  if (maxTokens !== undefined) number(where, "maxTokens", maxTokens, { least: 1, whole: true });
}

function build(
  device: Device,
  numeric: Numeric,
  config: ModelConfig,
  parameters: Map<string, Parameter>,
  options: LoadOptions,
): Transformer {
  const rows = Math.min(config.maxPositions, options.maxTokens ?? config.maxPositions);
  const table = numeric.ropeTable(ropeFrequencies(config, numeric), rows);
  const upload = (data: Float32Array, label: string) => {
    const buffer = device.alloc(data.length, label);
    device.write(buffer, data);
    return buffer;
  };
  const rope = { cos: upload(table.cos, "rope cos"), sin: upload(table.sin, "rope sin"), rows };
  return new Transformer(device, config, parameters, rope, options.precision);
}

function allocate(device: Device, { name, shape, kind }: ParameterShape): Parameter {
  const size = shape.reduce((a, b) => a * b, 1);
  return { name, shape, kind, size, value: device.alloc(size, name) };
}

/**
 * Opens a folder in Hugging Face's layout and loads its weights. A folder of adapters alone (PEFT's layout) is its base
 * model, found by the name that adapter_config.json gives, with the adapters beside it.
 */
export async function loadModel(
  device: Device,
  numeric: Numeric,
  storage: Storage,
  dir: string,
  options: LoadOptions,
): Promise<LoadedModel> {
  checkOptions("loadModel", options);
  if (!(await storage.exists(joinPath(dir, "config.json"))) && (await storage.exists(joinPath(dir, adapterConfig)))) {
    const json = JSON.parse(await readText(storage, joinPath(dir, adapterConfig))) as Record<string, unknown>;
    const { baseModel } = parseAdapterConfig(json, joinPath(dir, adapterConfig));
    if (!baseModel || !(await storage.exists(joinPath(baseModel, "config.json")))) {
      throw new CohortError(
        "bad-model",
        `${dir}: adapters of ${baseModel ? `"${baseModel}", which is no model folder here` : "a base model without a name"}`,
        `set base_model_name_or_path in ${joinPath(dir, adapterConfig)} to the base model's folder`,
      );
    }
    const base = await loadModel(device, numeric, storage, baseModel, options);
    await loadLora(base.model, storage, dir);
    return base;
  }
  const directory = await openModelDirectory(storage, dir);
  const tokenizer = requireTokenizer(directory, dir);
  const parameters = new Map<string, Parameter>();
  const config: ModelConfig = options.score ? { ...directory.config, scoreHead: true } : directory.config;
  for (const shape of parameterShapes(config)) {
    const parameter = allocate(device, shape);
    const tensor = directory.tensors.get(shape.name);
    const data = tensor ? tensor.load() : newScoreHead(numeric, config, options.score!.seed);
    device.write(parameter.value, await data);
    parameters.set(shape.name, parameter);
  }
  return {
    model: build(device, numeric, config, parameters, options),
    tokenizer,
    stopIds: [...new Set([...config.eosIds, ...tokenizer.eosIds])],
    rawConfig: directory.rawConfig,
    files: directory.files,
  };
}

/** Normal with `initializerRange`, as in transformers. */
function newScoreHead(numeric: Numeric, config: ModelConfig, seed: number): Float32Array {
  return numeric.normals(config.hiddenSize, config.initializerRange, [seed, streams.init], [0, 2, 0]);
}

/**
 * A new model: linear layers and embedding normal with `initializerRange` (those that write to the residual stream
 * divided by √(2·layers), as in GPT-2), norms 1, biases 0. The same seed gives the same bits everywhere.
 * @throws CohortError("bad-input") for a precision other than 12 and 24, and for options that there are none of
 */
export function newModel(
  device: Device,
  numeric: Numeric,
  config: ModelConfig,
  tokenizer: Tokenizer,
  seed: number,
  options: LoadOptions,
): LoadedModel {
  checkOptions("newModel", options);
  number("newModel", "seed", seed, { least: 0, most: 2 ** 32 - 1, whole: true });
  const parameters = new Map<string, Parameter>();
  parameterShapes(config).forEach((shape, index) => {
    const parameter = allocate(device, shape);
    const { name, kind, size } = parameter;
    if (kind === "norm" || kind === "bias")
      device.write(parameter.value, new Float32Array(size).fill(kind === "norm" ? 1 : 0));
    else {
      const residual = name.endsWith("o_proj.weight") || name.endsWith("down_proj.weight");
      const std = config.initializerRange / (residual ? Math.sqrt(2 * config.layers) : 1);
      device.write(parameter.value, numeric.normals(size, std, [seed, streams.init], [index, 0, 0]));
    }
    parameters.set(name, parameter);
  });
  return {
    model: build(device, numeric, config, parameters, options),
    tokenizer,
    stopIds: [...new Set([...config.eosIds, ...tokenizer.eosIds])],
    rawConfig: {},
    files: tokenizer.files(),
  };
}

/** A frozen copy of a model's weights on the same device: the reference policy. */
export function copyModel(source: Transformer, numeric: Numeric): Transformer {
  const { device, config, precision } = source;
  const parameters = new Map<string, Parameter>();
  for (const p of source.parameters.values()) {
    const value = device.alloc(p.size, `reference ${p.name}`);
    device.run("copy", value, p.value, p.size);
    parameters.set(p.name, { name: p.name, shape: p.shape, kind: p.kind, size: p.size, value });
  }
  return build(device, numeric, config, parameters, { precision, maxTokens: source.maxTokens });
}

/** Gives every parameter (or, with adapters, only theirs) a gradient to accumulate in. */
export function makeTrainable(model: Transformer): void {
  const parameters = model.lora
    ? [...model.lora.pairs.values()].flatMap(({ a, b }) => [a, b])
    : [...model.parameters.values()];
  for (const p of parameters) p.grad ??= model.device.alloc(p.size, `gradient of ${p.name}`);
}

/** New adapters: A normal with deviation 1/√in, B zero, so that the model starts unchanged. */
export function addLora(model: Transformer, numeric: Numeric, lora: LoraConfig, seed: number): void {
  const { device, config } = model;
  const pairs = new Map<string, LoraPair>();
  loraTargets(config, lora).forEach((target, index) => {
    const { module, in: into, out } = target;
    const data = numeric.normals(lora.rank * into, 1 / Math.sqrt(into), [seed, streams.init], [index, 1, 0]);
    pairs.set(module, {
      a: adapterParameter(device, adapterName(module, "A"), [lora.rank, into], data),
      b: adapterParameter(device, adapterName(module, "B"), [out, lora.rank], new Float32Array(out * lora.rank)),
      rank: lora.rank,
      scale: Math.fround(loraScale(lora)),
    });
  });
  model.lora = { config: lora, pairs, enabled: true };
}

/** Adapters from a PEFT folder. */
export async function loadLora(model: Transformer, storage: Storage, dir: string): Promise<Adapter> {
  const adapter = await openAdapter(storage, dir, model.config);
  const { rank } = adapter.lora;
  const pairs = new Map<string, LoraPair>();
  for (const t of adapter.tensors) {
    pairs.set(t.module, {
      a: adapterParameter(model.device, adapterName(t.module, "A"), [rank, t.in], await t.loadA()),
      b: adapterParameter(model.device, adapterName(t.module, "B"), [t.out, rank], await t.loadB()),
      rank,
      scale: Math.fround(loraScale(adapter.lora)),
    });
  }
  model.lora = { config: adapter.lora, pairs, enabled: true };
  return adapter;
}

export async function saveLora(model: Transformer, storage: Storage, dir: string): Promise<void> {
  if (!model.lora) throw new CohortError("bad-input", "saveLora: the model has no adapters", "save the model instead");
  const tensors = new Map<string, { a: Float32Array; b: Float32Array }>();
  for (const [module, { a, b }] of model.lora.pairs) {
    tensors.set(module, { a: await model.device.readF32(a.value), b: await model.device.readF32(b.value) });
  }
  await saveAdapter(storage, dir, { config: model.config, lora: model.lora.config, tensors });
}

/** Adds the adapters into the weights: W += s · B A. The adapters are gone afterwards. */
export function mergeLora(model: Transformer): void {
  const { device, lora } = model;
  if (!lora) return;
  const none = device.alloc(1, "no bias");
  for (const [module, { a, b, rank, scale }] of lora.pairs) {
    const w = model.parameters.get(`${module}.weight`)!;
    const [out, into] = w.shape;
    device.run("scale", b.value, b.size, scale);
    // Always in full precision: the sum is made once and kept.
    device.run("matmul", w.value, b.value, a.value, none, out, into, rank, rank, 1, into, 1, into, 1, 24);
    for (const p of [a, b]) {
      device.free(p.value);
      if (p.grad) device.free(p.grad);
    }
  }
  device.free(none);
  model.lora = null;
}

/** Saves the weights in Hugging Face's layout, f32, without adapters. */
export async function saveModel(loaded: LoadedModel, storage: Storage, dir: string): Promise<void> {
  const { model, rawConfig, files } = loaded;
  await saveModelDirectory(storage, dir, {
    config: model.config,
    rawConfig,
    files,
    tensors: [...model.parameters.values()].map(({ name, shape, value }) => ({
      name,
      shape,
      data: () => model.device.readF32(value),
    })),
  });
}
