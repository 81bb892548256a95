/**
 * @file A model's architecture: read from and written to Hugging Face's config.json, or made from a few sizes.
 *
 * Sources: transformers' configuration_llama.py, configuration_qwen2.py, configuration_qwen3.py (defaults, and which
 * projections have a bias), modeling_rope_utils.py (rope types).
 */
import { CohortError, nearest } from "../errors.ts";

export type Architecture = "llama" | "qwen2" | "qwen3";

/** Scaling of rotary frequencies: all divided by `factor`, or Llama 3's by wavelength. */
export type RopeScaling =
  | { readonly type: "linear"; readonly factor: number }
  | {
      readonly type: "llama3";
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositions: number;
    };

/** Shapes and constants of a decoder: pre-norm, RoPE, grouped-query causal attention, SwiGLU. */
export interface ModelConfig {
  readonly architecture: Architecture;
  /** V */
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  /** H, query heads; a multiple of `kvHeads`. */
  readonly heads: number;
  readonly kvHeads: number;
  /** D, even; `heads * headDim` need not be `hiddenSize`. */
  readonly headDim: number;
  /** Longest sequence, in tokens. */
  readonly maxPositions: number;
  readonly rmsNormEps: number;
  readonly ropeTheta: number;
  readonly ropeScaling?: RopeScaling;
  /** The output head is the embedding's transpose. */
  readonly tieWordEmbeddings: boolean;
  /** Biases of the q, k and v projections. */
  readonly attentionBias: boolean;
  readonly attentionOutputBias: boolean;
  readonly mlpBias: boolean;
  /** RMSNorm of each head's queries and keys, before RoPE. */
  readonly qkNorm: boolean;
  /** One number a sequence in place of logits: a reward model (Hugging Face's …ForSequenceClassification, one label). */
  readonly scoreHead?: true;
  readonly bosId?: number;
  /** Every id that ends a generation. */
  readonly eosIds: readonly number[];
  readonly padId?: number;
  /** Standard deviation of a new model's weights. */
  readonly initializerRange: number;
}

const classNames: Readonly<Record<Architecture, string>> = {
  llama: "LlamaForCausalLM",
  qwen2: "Qwen2ForCausalLM",
  qwen3: "Qwen3ForCausalLM",
};
const scoreName = (name: string) => name.replace("ForCausalLM", "ForSequenceClassification");
const supported = "LlamaForCausalLM (with SmolLM2), Qwen2ForCausalLM (with Qwen2.5), Qwen3ForCausalLM";

type Json = Record<string, unknown>;

/** Reads typed keys of a JSON object and gathers what is wrong with them, to be told all at once. */
class Reader {
  readonly problems: string[] = [];
  readonly json: Json;
  constructor(json: Json) {
    this.json = json;
  }
  /** null counts as absent, as in Python's configurations. */
  #get(key: string): unknown {
    return this.json[key] ?? undefined;
  }
  number(key: string, what: string, good: (n: number) => boolean, fallback?: number): number {
    const value = this.#get(key);
    if (value === undefined && fallback !== undefined) return fallback;
    if (typeof value === "number" && good(value)) return value;
    this.problems.push(value === undefined ? `"${key}" is missing` : `"${key}" is ${show(value)}, wanted ${what}`);
    return fallback ?? 1;
  }
  count(key: string, fallback?: number): number {
    return this.number(key, "a whole number from 1 to 2147483647", isSize, fallback);
  }
  positive(key: string, fallback?: number): number {
    return this.number(key, "a number above 0", (n) => n > 0 && Number.isFinite(n), fallback);
  }
  flag(key: string, fallback: boolean): boolean {
    const value = this.#get(key) ?? fallback;
    if (typeof value === "boolean") return value;
    this.problems.push(`"${key}" is ${show(value)}, wanted true or false`);
    return fallback;
  }
  object(key: string): Json | undefined {
    const value = this.#get(key);
    if (value === undefined) return undefined;
    if (typeof value === "object" && !Array.isArray(value)) return value as Json;
    this.problems.push(`"${key}" is ${show(value)}, wanted an object`);
    return undefined;
  }
  /** An id, a list of ids, or none; old configurations write -1 for none. */
  ids(key: string): number[] {
    const value = this.#get(key);
    const list = value === undefined || value === -1 ? [] : Array.isArray(value) ? value : [value];
    if (list.every((id) => Number.isSafeInteger(id) && id >= 0)) return list;
    this.problems.push(`"${key}" is ${show(value)}, wanted a token id or a list of them`);
    return [];
  }
}

const show = (value: unknown) => JSON.stringify(value)?.slice(0, 60) ?? String(value);
const isSize = (n: number) => Number.isInteger(n) && n >= 1 && n < 2 ** 31;

/**
 * Reads a Hugging Face config.json, of old and new transformers (`torch_dtype` or `dtype`, `rope_scaling` or
 * `rope_parameters`).
 *
 * @param where names the file in errors
 * @throws CohortError "bad-model" that lists every key that is missing, of a wrong type, or asks for what is not built
 */
export function parseModelConfig(json: Json, where = "config.json"): ModelConfig {
  const architecture = architectureOf(json, where);
  const read = new Reader(json);
  const { problems } = read;
  const llama = architecture === "llama";

  const hiddenSize = read.count("hidden_size");
  const heads = read.count("num_attention_heads");
  const layers = read.count("num_hidden_layers");
  const kvHeads = read.count("num_key_value_heads", heads);
  const ungivenHeadDim = architecture === "qwen3" ? 128 : hiddenSize / heads;
  const attention = architecture === "qwen2" || read.flag("attention_bias", false);
  const bosIds = read.ids("bos_token_id");
  const padIds = read.ids("pad_token_id");
  const { ropeTheta, ropeScaling } = rope(read);

  const activation = json.hidden_act ?? "silu";
  if (activation !== "silu") problems.push(`"hidden_act" is ${show(activation)}, only "silu" is built`);
  if (!llama) slidingWindow(read, layers);
  if (json.rope_interleaved === true) problems.push(`"rope_interleaved" is true, only the half-split order is built`);
  if ((json.quantization_config ?? null) !== null) {
    problems.push(`"quantization_config" is set, quantised weights are not read; use the model's full-precision files`);
  }

  const config: ModelConfig = {
    architecture,
    vocabSize: read.count("vocab_size"),
    hiddenSize,
    intermediateSize: read.count("intermediate_size"),
    layers,
    heads,
    kvHeads,
    headDim: read.number("head_dim", "a whole number of 2 or more", isSize, ungivenHeadDim),
    maxPositions: read.count("max_position_embeddings", llama ? 2048 : 32768),
    rmsNormEps: read.positive("rms_norm_eps", 1e-6),
    ropeTheta,
    ...(ropeScaling && { ropeScaling }),
    tieWordEmbeddings: read.flag("tie_word_embeddings", false),
    attentionBias: attention,
    attentionOutputBias: attention && architecture !== "qwen2",
    mlpBias: llama && read.flag("mlp_bias", false),
    qkNorm: architecture === "qwen3",
    ...(isScoreModel(json) && { scoreHead: true as const }),
    ...(bosIds.length > 0 && { bosId: bosIds[0] }),
    eosIds: read.ids("eos_token_id"),
    ...(padIds.length > 0 && { padId: padIds[0] }),
    initializerRange: read.positive("initializer_range", 0.02),
  };
  if (problems.length === 0) problems.push(...inconsistencies(config));
  if (problems.length > 0) {
    throw new CohortError(
      "bad-model",
      `${where}: ${problems.join("; ")}`,
      "use the config.json that came with the model, of a supported architecture",
    );
  }
  return config;
}

const isScoreModel = (json: Json) =>
  Array.isArray(json.architectures) && String(json.architectures[0]).endsWith("ForSequenceClassification");

function architectureOf(json: Json, where: string): Architecture {
  const listed = Array.isArray(json.architectures) ? json.architectures[0] : undefined;
  const given = listed ?? json.model_type;
  for (const [architecture, name] of Object.entries(classNames)) {
    if (given === name || given === scoreName(name)) return architecture as Architecture;
    if (listed === undefined && given === architecture) return architecture as Architecture;
  }
  throw new CohortError(
    "bad-model",
    given === undefined
      ? `${where}: neither "architectures" nor "model_type" is given`
      : `${where}: unknown architecture ${show(given)}`,
    `supported are ${supported}`,
  );
}

function rope(read: Reader): { ropeTheta: number; ropeScaling?: RopeScaling } {
  const { json, problems } = read;
  const nested = read.object("rope_parameters");
  const old = read.object("rope_scaling");
  const key = nested ? "rope_parameters" : "rope_scaling";
  const inner = new Reader(nested ?? old ?? {});
  const theta = nested && "rope_theta" in nested ? inner.positive("rope_theta") : read.positive("rope_theta", 10000);
  const partial = inner.json.partial_rotary_factor ?? json.partial_rotary_factor ?? 1;
  if (partial !== 1) problems.push(`"partial_rotary_factor" is ${show(partial)}, only 1 is built`);

  const type = inner.json.rope_type ?? inner.json.type ?? "default";
  let ropeScaling: RopeScaling | undefined;
  if (type === "linear") {
    ropeScaling = { type, factor: inner.positive("factor") };
  } else if (type === "llama3") {
    ropeScaling = {
      type,
      factor: inner.positive("factor"),
      lowFreqFactor: inner.positive("low_freq_factor"),
      highFreqFactor: inner.positive("high_freq_factor"),
      originalMaxPositions: inner.count("original_max_position_embeddings"),
    };
    if (inner.problems.length === 0 && ropeScaling.highFreqFactor <= ropeScaling.lowFreqFactor) {
      inner.problems.push(`"high_freq_factor" is not above "low_freq_factor"`);
    }
  } else if (type !== "default") {
    problems.push(`"${key}" has type ${show(type)}, only "default", "linear" and "llama3" are built`);
  }
  problems.push(...inner.problems.map((problem) => `in "${key}": ${problem}`));
  return { ropeTheta: theta, ropeScaling };
}

/** Qwen's sliding window counts only where it is switched on and some layer is at or above `max_window_layers`. */
function slidingWindow(read: Reader, layers: number): void {
  const { json, problems } = read;
  const remedy = "sliding-window attention is not built";
  const types = json.layer_types;
  if (Array.isArray(types)) {
    const other = types.find((type) => type !== "full_attention");
    if (other !== undefined) problems.push(`"layer_types" has ${show(other)}, ${remedy}`);
  } else if (read.flag("use_sliding_window", false) && json.sliding_window !== null) {
    const from = read.number("max_window_layers", "a whole number", (n) => Number.isInteger(n) && n >= 0, 28);
    if (from < layers) problems.push(`"use_sliding_window" is true for layers from ${from}, ${remedy}`);
  }
}

function inconsistencies(config: ModelConfig): string[] {
  const { heads, kvHeads, headDim, vocabSize } = config;
  const found: string[] = [];
  if (heads % kvHeads !== 0) found.push(`${heads} attention heads are not a multiple of ${kvHeads} key-value heads`);
  if (!Number.isInteger(headDim) || headDim % 2 !== 0)
    found.push(`the head size ${headDim} is not a whole even number`);
  for (const id of config.eosIds) {
    if (id >= vocabSize) found.push(`the end-of-sequence id ${id} is outside the vocabulary of ${vocabSize}`);
  }
  if (config.bosId !== undefined && config.bosId >= vocabSize) {
    found.push(`the begin-of-sequence id ${config.bosId} is outside the vocabulary of ${vocabSize}`);
  }
  return found;
}

const configKeys = [
  ["architecture", "vocabSize", "hiddenSize", "intermediateSize", "layers", "heads", "kvHeads", "headDim"],
  ["maxPositions", "rmsNormEps", "ropeTheta", "ropeScaling", "tieWordEmbeddings", "attentionBias"],
  ["attentionOutputBias", "mlpBias", "qkNorm", "scoreHead", "bosId", "eosIds", "padId", "initializerRange"],
].flat() as (keyof ModelConfig)[];

/**
 * A new model's config: `vocabSize` is needed, everything else has a default (a two-layer Llama of width 64).
 *
 * @throws CohortError "bad-config" for an unknown key (with the nearest right one), a wrong value, or a combination
 * that the architecture's config.json could not say
 */
export function modelConfig(partial: Partial<ModelConfig> & { vocabSize: number }): ModelConfig {
  const problems: string[] = [];
  for (const key of Object.keys(partial)) {
    if ((configKeys as string[]).includes(key)) continue;
    const near = nearest(key, configKeys);
    problems.push(`unknown key "${key}"${near ? ` (did you mean "${near}"?)` : ""}`);
  }
  const given: Partial<ModelConfig> = Object.fromEntries(
    Object.entries(partial).filter(([, value]) => value !== undefined),
  );
  const architecture = partial.architecture ?? "llama";
  if (!Object.hasOwn(classNames, architecture)) {
    problems.push(`architecture is ${show(architecture)}, wanted "llama", "qwen2" or "qwen3"`);
  }
  const hiddenSize = partial.hiddenSize ?? 64;
  const heads = partial.heads ?? 4;
  const attentionBias = partial.attentionBias ?? architecture === "qwen2";
  const config: ModelConfig = {
    architecture,
    vocabSize: partial.vocabSize,
    hiddenSize,
    // SwiGLU's three matrices at 8/3 of the width hold as many weights as two at four times.
    intermediateSize: 8 * Math.ceil(hiddenSize / 3),
    layers: 2,
    heads,
    kvHeads: heads,
    headDim: hiddenSize / heads,
    maxPositions: 256,
    rmsNormEps: 1e-5,
    ropeTheta: 10000,
    tieWordEmbeddings: true,
    attentionBias,
    attentionOutputBias: attentionBias && architecture !== "qwen2",
    mlpBias: false,
    qkNorm: architecture === "qwen3",
    eosIds: [],
    initializerRange: 0.02,
    ...given,
  };

  const sizes = [
    "vocabSize",
    "hiddenSize",
    "intermediateSize",
    "layers",
    "heads",
    "kvHeads",
    "headDim",
    "maxPositions",
  ];
  for (const key of sizes as (keyof ModelConfig)[]) {
    const value = config[key];
    if (key === "headDim" && given.headDim === undefined) {
      const left = isSize(hiddenSize) && isSize(heads) && hiddenSize % heads;
      if (left) problems.push(`hiddenSize ${hiddenSize} is not a multiple of heads ${heads}, and no headDim is given`);
    } else if (typeof value !== "number" || !isSize(value)) {
      const kind = typeof value === "number" && value >= 2 ** 31 ? "from 1 to 2147483647" : "of at least 1";
      problems.push(`${key} is ${show(value)}, wanted a whole number ${kind}`);
    }
  }
  for (const key of ["rmsNormEps", "ropeTheta", "initializerRange"] as const) {
    if (!(config[key] > 0 && config[key] < 1e30)) problems.push(`${key} is ${show(config[key])}, wanted above 0`);
  }
  for (const key of ["tieWordEmbeddings", "attentionBias", "attentionOutputBias", "mlpBias", "qkNorm"] as const) {
    if (typeof config[key] !== "boolean") problems.push(`${key} is ${show(config[key])}, wanted true or false`);
  }
  if (!Array.isArray(config.eosIds)) problems.push(`eosIds is ${show(config.eosIds)}, wanted a list of token ids`);
  if (isSize(heads) && isSize(config.kvHeads) && heads % config.kvHeads !== 0) {
    problems.push(`heads ${heads} is not a multiple of kvHeads ${config.kvHeads}`);
  }
  if (problems.length === 0) {
    problems.push(...inconsistencies(config));
    const back = parseable(config);
    if (back) problems.push(back);
  }
  if (problems.length > 0) throw new CohortError("bad-config", `model config: ${problems.join("; ")}`, "correct it");
  return config;
}

/** Says which setting would be lost by saving: config.json has a word only for what each architecture offers. */
function parseable(config: ModelConfig): string | undefined {
  let back: ModelConfig;
  try {
    back = parseModelConfig(toHuggingFace(config), "config");
  } catch (error) {
    return (error as Error).message;
  }
  const lost = configKeys.find((key) => JSON.stringify(back[key]) !== JSON.stringify(config[key]));
  return lost && `a ${config.architecture} model cannot have ${lost} ${show(config[lost])}`;
}

/**
 * The config.json of a config.
 *
 * @param raw the config.json that the model came with: its unknown keys are kept, and its spelling of rope settings
 * @param dtype torch's name of the weights' format, where they are being written
 */
export function toHuggingFace(config: ModelConfig, raw: Json = {}, dtype?: string): Json {
  const scaling = config.ropeScaling;
  const ropeSettings: Json = { rope_type: scaling?.type ?? "default" };
  if (scaling) ropeSettings.factor = scaling.factor;
  if (scaling?.type === "llama3") {
    ropeSettings.low_freq_factor = scaling.lowFreqFactor;
    ropeSettings.high_freq_factor = scaling.highFreqFactor;
    ropeSettings.original_max_position_embeddings = scaling.originalMaxPositions;
  }
  const eos = config.eosIds.length > 1 ? [...config.eosIds] : (config.eosIds[0] ?? null);
  const json: Json = {
    ...raw,
    architectures: [config.scoreHead ? scoreName(classNames[config.architecture]) : classNames[config.architecture]],
    ...(config.scoreHead && { id2label: { 0: "LABEL_0" }, label2id: { LABEL_0: 0 } }),
    model_type: config.architecture,
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.kvHeads,
    head_dim: config.headDim,
    hidden_act: "silu",
    max_position_embeddings: config.maxPositions,
    rms_norm_eps: config.rmsNormEps,
    tie_word_embeddings: config.tieWordEmbeddings,
    bos_token_id: config.bosId ?? null,
    eos_token_id: eos,
    pad_token_id: config.padId ?? null,
    initializer_range: config.initializerRange,
  };
  if (raw.rope_parameters) {
    json.rope_parameters = { ...(raw.rope_parameters as Json), ...ropeSettings, rope_theta: config.ropeTheta };
    if ("rope_theta" in raw) json.rope_theta = config.ropeTheta;
  } else {
    json.rope_theta = config.ropeTheta;
    json.rope_scaling = scaling ? ropeSettings : null;
  }
  if (config.architecture !== "qwen2") json.attention_bias = config.attentionBias;
  if (config.architecture === "llama") json.mlp_bias = config.mlpBias;
  if (dtype !== undefined) {
    json["dtype" in raw ? "dtype" : "torch_dtype"] = dtype;
  }
  return json;
}

/** A parameter of the model, by its Hugging Face name. Linear weights are [out, in]. */
export interface ParameterShape {
  readonly name: string;
  readonly shape: readonly number[];
  readonly kind: "embedding" | "linear" | "norm" | "bias";
}

/** Every parameter in the order of the forward pass; "lm_head.weight" only where it is not the embedding itself. */
export function parameterShapes(config: ModelConfig): ParameterShape[] {
  const { hiddenSize: width, intermediateSize: inner, headDim } = config;
  const [queries, keys] = [config.heads * headDim, config.kvHeads * headDim];
  const list: ParameterShape[] = [];
  const norm = (name: string, size: number) => list.push({ name: `${name}.weight`, shape: [size], kind: "norm" });
  const linear = (name: string, out: number, into: number, bias: boolean) => {
    list.push({ name: `${name}.weight`, shape: [out, into], kind: "linear" });
    if (bias) list.push({ name: `${name}.bias`, shape: [out], kind: "bias" });
  };

  list.push({ name: "model.embed_tokens.weight", shape: [config.vocabSize, width], kind: "embedding" });
  for (let k = 0; k < config.layers; k++) {
    const layer = `model.layers.${k}`;
    norm(`${layer}.input_layernorm`, width);
    linear(`${layer}.self_attn.q_proj`, queries, width, config.attentionBias);
    linear(`${layer}.self_attn.k_proj`, keys, width, config.attentionBias);
    linear(`${layer}.self_attn.v_proj`, keys, width, config.attentionBias);
    if (config.qkNorm) {
      norm(`${layer}.self_attn.q_norm`, headDim);
      norm(`${layer}.self_attn.k_norm`, headDim);
    }
    linear(`${layer}.self_attn.o_proj`, width, queries, config.attentionOutputBias);
    norm(`${layer}.post_attention_layernorm`, width);
    linear(`${layer}.mlp.gate_proj`, inner, width, config.mlpBias);
    linear(`${layer}.mlp.up_proj`, inner, width, config.mlpBias);
    linear(`${layer}.mlp.down_proj`, width, inner, config.mlpBias);
  }
  norm("model.norm", width);
  if (config.scoreHead) list.push({ name: "score.weight", shape: [1, width], kind: "linear" });
  else if (!config.tieWordEmbeddings)
    list.push({ name: "lm_head.weight", shape: [config.vocabSize, width], kind: "linear" });
  return list;
}
