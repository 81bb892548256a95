/**
 * @file LoRA adapters in PEFT's layout: adapter_config.json and adapter_model.safetensors.
 *
 * A layer y = W·x becomes y = W·x + s·B·(A·x), A [r, in], B [out, r], s = alpha / r, or alpha / √r for rank-stabilised
 * LoRA. Sources: "LoRA" (arXiv 2106.09685), "A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA" (arXiv
 * 2312.03732); names as peft's LoraConfig and save_pretrained write them.
 */
import { CohortError } from "../errors.ts";
import { readText, type Storage } from "../host.ts";
import { joinPath } from "../storage.ts";
import { parseJsonObject } from "./checks.ts";
import { type ModelConfig, parameterShapes } from "./config.ts";
import { loadTensor, openSafetensors, type TensorSource, writeSafetensors } from "./safetensors.ts";

export interface LoraConfig {
  /** r, from 1. */
  readonly rank: number;
  readonly alpha: number;
  /** Projections by the last part of their name, for instance "q_proj", or all of them. */
  readonly targetModules: readonly string[] | "all-linear";
  /** Rank-stabilised: s = alpha / √r. */
  readonly rankStabilized: boolean;
  /** Kept in the file, for instance the folder or hub name of the base model. */
  readonly baseModel?: string;
}

/** A linear layer that an adapter changes: "model.layers.0.self_attn.q_proj", weight [out, in]. */
export interface LoraTarget {
  readonly module: string;
  readonly in: number;
  readonly out: number;
}

export interface AdapterTensors extends LoraTarget {
  /** A [r, in] row by row. */
  loadA(into?: Float32Array): Promise<Float32Array>;
  /** B [out, r] row by row. */
  loadB(into?: Float32Array): Promise<Float32Array>;
}

export interface Adapter {
  readonly lora: LoraConfig;
  readonly rawConfig: Record<string, unknown>;
  /** In the order of `loraTargets`. */
  readonly tensors: readonly AdapterTensors[];
}

/** s, the factor of B·A·x. */
export function loraScale({ rank, alpha, rankStabilized }: LoraConfig): number {
  return rankStabilized ? alpha / Math.sqrt(rank) : alpha / rank;
}

const prefix = "base_model.model.";

/**
 * The linear layers that an adapter of these settings changes, in the order of the forward pass.
 *
 * @throws CohortError "bad-config" for a bad rank or alpha, and for a target that names no projection of the decoder
 */
export function loraTargets(config: ModelConfig, lora: LoraConfig): LoraTarget[] {
  const bad = (what: string, remedy: string) => new CohortError("bad-config", `lora: ${what}`, remedy);
  if (!Number.isInteger(lora.rank) || lora.rank < 1) throw bad(`rank is ${lora.rank}`, "give a whole number from 1");
  if (!(lora.alpha > 0 && lora.alpha < 1e30)) throw bad(`alpha is ${lora.alpha}`, "give a number above 0");
  const linear: LoraTarget[] = parameterShapes(config)
    .filter(({ name, kind }) => kind === "linear" && name !== "lm_head.weight" && name !== "score.weight")
    .map(({ name, shape }) => ({ module: name.replace(/\.weight$/, ""), in: shape[1], out: shape[0] }));
  if (lora.targetModules === "all-linear") return linear;

  const hits = (target: string, { module }: LoraTarget) => module === target || module.endsWith(`.${target}`);
  if (lora.targetModules.length === 0) throw bad("no target modules", 'name some, or give "all-linear"');
  for (const target of lora.targetModules) {
    if (linear.some((layer) => hits(target, layer))) continue;
    const names = [...new Set(linear.map(({ module }) => module.split(".").at(-1)))].join(", ");
    throw bad(`target module "${target}" is no projection of this model`, `choose from ${names}, or "all-linear"`);
  }
  const targets = lora.targetModules;
  return linear.filter((layer) => targets.some((target) => hits(target, layer)));
}

/** Settings of PEFT that change the mathematics and that this engine does not build, with the values that mean "off". */
const unsupported: Record<string, (value: unknown) => boolean> = {
  use_dora: (value) => !value,
  modules_to_save: isEmpty,
  bias: (value) => value === "none" || isEmpty(value),
  lora_bias: (value) => !value,
  fan_in_fan_out: (value) => !value,
  rank_pattern: isEmpty,
  alpha_pattern: isEmpty,
  layers_to_transform: isEmpty,
  exclude_modules: isEmpty,
  layer_replication: isEmpty,
  trainable_token_indices: isEmpty,
  target_parameters: isEmpty,
  megatron_config: isEmpty,
  use_qalora: (value) => !value,
  alora_invocation_tokens: isEmpty,
  init_lora_weights: (value) => typeof value !== "string" || value === "gaussian",
};

function isEmpty(value: unknown): boolean {
  return value === null || value === undefined || (typeof value === "object" && Object.keys(value).length === 0);
}

/**
 * Reads adapter_config.json.
 *
 * @throws CohortError "bad-model" that lists everything wrong or unsupported by its name
 */
export function parseAdapterConfig(json: Record<string, unknown>, where = "adapter_config.json"): LoraConfig {
  const problems: string[] = [];
  const kind = json.peft_type ?? "LORA";
  if (kind !== "LORA") problems.push(`peft_type is ${JSON.stringify(kind)}, only "LORA" is built`);
  for (const [key, off] of Object.entries(unsupported)) {
    if (!off(json[key])) problems.push(`${key} is ${JSON.stringify(json[key])}, which is not built`);
  }
  const { r, lora_alpha: alpha = 8, target_modules: targets } = json;
  if (!Number.isInteger(r) || (r as number) < 1) problems.push(`r is ${JSON.stringify(r)}, wanted a whole number`);
  if (typeof alpha !== "number" || !(alpha > 0))
    problems.push(`lora_alpha is ${JSON.stringify(alpha)}, wanted above 0`);
  const named = Array.isArray(targets) && targets.length > 0 && targets.every((name) => typeof name === "string");
  if (!named && targets !== "all-linear") {
    problems.push(`target_modules is ${JSON.stringify(targets)}, wanted a list of names or "all-linear"`);
  }
  if (problems.length > 0) {
    throw new CohortError("bad-model", `${where}: ${problems.join("; ")}`, "use a plain LoRA adapter");
  }
  return {
    rank: r as number,
    alpha: alpha as number,
    targetModules: named ? [...(targets as string[])].sort() : "all-linear",
    rankStabilized: json.use_rslora === true,
    ...(typeof json.base_model_name_or_path === "string" && { baseModel: json.base_model_name_or_path }),
  };
}

/**
 * Opens an adapter's folder and checks it against the model.
 *
 * @throws CohortError "bad-model" where files are missing or damaged, or names or shapes do not fit
 */
export async function openAdapter(storage: Storage, dir: string, config: ModelConfig): Promise<Adapter> {
  const configPath = joinPath(dir, "adapter_config.json");
  const weightsPath = joinPath(dir, "adapter_model.safetensors");
  for (const path of [configPath, weightsPath]) {
    if (await storage.exists(path)) continue;
    throw new CohortError(
      "bad-model",
      `openAdapter: ${path} is missing`,
      "give a folder that PEFT saved an adapter in",
    );
  }
  const rawConfig = parseJsonObject(await readText(storage, configPath), configPath);
  const lora = parseAdapterConfig(rawConfig, configPath);
  const { tensors: entries } = await openSafetensors(storage, weightsPath);
  const left = new Map(entries);
  const problems: string[] = [];
  const take = (name: string, shape: number[]) => {
    const entry = entries.get(name);
    left.delete(name);
    if (!entry) problems.push(`${name} is missing`);
    else if (entry.shape.join() !== shape.join()) {
      problems.push(`${name} is [${entry.shape.join(", ")}], wanted [${shape.join(", ")}]`);
    }
    return (into?: Float32Array) => loadTensor(storage, entry!, into);
  };
  const tensors = loraTargets(config, lora).map((target) => ({
    ...target,
    loadA: take(`${prefix}${target.module}.lora_A.weight`, [lora.rank, target.in]),
    loadB: take(`${prefix}${target.module}.lora_B.weight`, [target.out, lora.rank]),
  }));
  problems.push(...[...left.keys()].map((name) => `${name} has no place in this model`));
  if (problems.length > 0) {
    const shown = problems.slice(0, 5).join("; ") + (problems.length > 5 ? `; and ${problems.length - 5} more` : "");
    throw new CohortError("bad-model", `${weightsPath}: ${shown}`, "use an adapter that was trained on this model");
  }
  return { lora, rawConfig, tensors };
}

/**
 * Saves an adapter that PEFT loads.
 *
 * @param tensors A [r, in] and B [out, r] of every target, by module name
 * @throws CohortError "bad-input" where one is missing or of a wrong size
 */
export async function saveAdapter(
  storage: Storage,
  dir: string,
  options: {
    readonly config: ModelConfig;
    readonly lora: LoraConfig;
    readonly rawConfig?: Record<string, unknown>;
    readonly tensors: ReadonlyMap<string, { readonly a: Float32Array; readonly b: Float32Array }>;
    readonly dtype?: "F32" | "BF16" | "F16";
  },
): Promise<void> {
  const { config, lora, rawConfig = {}, tensors, dtype = "F32" } = options;
  const sources: TensorSource[] = [];
  for (const target of loraTargets(config, lora)) {
    const pair = tensors.get(target.module);
    if (!pair) {
      throw new CohortError("bad-input", `saveAdapter: ${target.module} is missing`, "pass A and B of every target");
    }
    const name = prefix + target.module;
    sources.push({ name: `${name}.lora_A.weight`, shape: [lora.rank, target.in], dtype, data: pair.a });
    sources.push({ name: `${name}.lora_B.weight`, shape: [target.out, lora.rank], dtype, data: pair.b });
  }
  const json = {
    lora_dropout: 0,
    fan_in_fan_out: false,
    init_lora_weights: true,
    inference_mode: true,
    modules_to_save: null,
    ...rawConfig,
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: lora.baseModel ?? null,
    bias: "none",
    r: lora.rank,
    lora_alpha: lora.alpha,
    target_modules: lora.targetModules,
    use_rslora: lora.rankStabilized,
    use_dora: false,
  };
  await writeSafetensors(storage, joinPath(dir, "adapter_model.safetensors"), sources);
  await storage.write(joinPath(dir, "adapter_config.json"), `${JSON.stringify(json, null, 2)}\n`);
}
