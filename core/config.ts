/**
 * @file The training configuration: every key with its default, range and meaning, in one table that also writes the
 * help text. Unknown keys are refused; all that is wrong is named at once.
 */

import * as v from "valibot";
import { dataFormats } from "./data/example.ts";
import { CohortError, nearest } from "./errors.ts";
import { isRecord } from "./given.ts";
import { loadTask } from "./tasks/index.ts";

const isNumber = (x: unknown): x is number => typeof x === "number" && Number.isFinite(x);

/** Above it counts do not fit the kernels' dimensions; named only to those who pass it. */
const MOST = 2 ** 31 - 1;
/** Most worker threads, as `CpuDevice` takes them. */
export const MAX_THREADS = 64;

const whole = (min: number, max = MOST) =>
  v.custom<number>(
    (x) => isNumber(x) && Number.isInteger(x) && x >= min && x <= max,
    ({ input }) => {
      const above = typeof input === "number" && input > max;
      return `a whole number ${max < MOST || above ? `from ${min} to ${max}` : `of at least ${min}`}`;
    },
  );
const real = (min: number, max = Number.POSITIVE_INFINITY) =>
  v.custom<number>(
    (x) => isNumber(x) && x >= min && x <= max,
    ({ input }) => {
      if (max < Number.POSITIVE_INFINITY) return `a number from ${min} to ${max}`;
      const kind = typeof input === "number" && !isNumber(input) ? "finite number" : "number";
      return min === Number.NEGATIVE_INFINITY ? `a ${kind}` : `a ${kind} of at least ${min}`;
    },
  );
const text = v.custom<string>((x) => typeof x === "string" && x.length > 0, "a text that is not empty");
const flag = v.custom<boolean>((x) => typeof x === "boolean", "true or false");
const choice = <const T extends readonly (string | number)[]>(...values: T) =>
  v.custom<T[number]>((x) => values.includes(x as never), values.map((x) => JSON.stringify(x)).join(" or "));
const record = v.custom<Record<string, unknown>>(isRecord, "an object");
const texts = v.custom<string[]>(
  (x) => Array.isArray(x) && x.length > 0 && x.every((y) => typeof y === "string"),
  "a list of names",
);

const ids = (example: string) =>
  v.custom<string[]>(
    (x) => Array.isArray(x) && x.every((y) => typeof y === "string" && y.length > 0),
    `a list of ids, as in --set '${example}'`,
  );

/** A key with a default and a line of help. */
function key<S extends v.GenericSchema, const D extends v.InferInput<S>>(schema: S, standard: D, doc: string) {
  return v.pipe(v.optional(schema, standard as never), v.description(doc)) as unknown as v.GenericSchema<
    v.InferInput<S> | undefined,
    v.InferOutput<S>
  >;
}
const absent = <S extends v.GenericSchema>(schema: S) => v.nullable(schema);

const modelKeys = {
  config: key(record, {}, "sizes of a new model: hiddenSize, layers, heads, kvHeads, intermediateSize, …"),
  tokenizer: key(choice("character", "byte"), "character", "tokenizer of a new model"),
  alphabet: key(absent(text), null, "characters of a new model; null: the task's"),
};
const fileTaskKeys = {
  prompts: key(text, "prompts.jsonl", "JSON lines with `prompt` and any other columns"),
  reward: key(text, "reward.mjs", "module whose default export scores a sample; named exports are further rewards"),
  weights: key(record, {}, "weight of each reward by name; 1 where not named"),
  heldout: key(absent(text), null, "prompt file for evaluation; null: an eighth of the prompts is kept apart"),
  passAt: key(real(Number.NEGATIVE_INFINITY), 1, "weighted reward from which a completion counts as right in pass@k"),
};
const dataTaskKeys = {
  data: key(text, "examples.jsonl", "examples, JSON lines or parquet, in place of prompts and a reward"),
  format: key(choice("auto", ...dataFormats), "auto", "which columns are read; auto: those of the first example say"),
  heldout: key(absent(text), null, "examples for evaluation; null: an eighth is kept apart"),
};
const optimizerKeys = {
  learningRate: key(absent(real(0)), null, "the same as the top-level learningRate"),
  schedule: key(choice("constant", "linear", "cosine"), "constant", "learning rate after the warm-up"),
  warmupSteps: key(whole(0), 0, "optimiser steps over which the learning rate rises from 0"),
  weightDecay: key(real(0), 0, "decoupled weight decay"),
  beta1: key(real(0, 0.999999), 0.9, "decay of the first moment"),
  beta2: key(real(0, 0.999999), 0.999, "decay of the second moment"),
  epsilon: key(real(1e-12), 1e-8, "added to the square root of the second moment"),
  maxGradNorm: key(real(0), 1, "global gradient norm is clipped to this; 0: not clipped"),
};
const loraKeys = {
  rank: key(whole(1, 1024), 16, "rank of the adapters"),
  alpha: key(real(0), 32, "scale: adapters count alpha / rank"),
  targetModules: key(v.union([choice("all-linear"), texts]), "all-linear", "names of the linear layers, or all-linear"),
};
const warmStartKeys = {
  steps: key(whole(0), 0, "supervised steps before reinforcement learning"),
  batch: key(whole(1), 32, "examples in a supervised step"),
  learningRate: key(absent(real(0)), null, "null: the run's learningRate"),
};

const keys = {
  model: key(
    v.custom<string | ModelSource>(
      (x) => (typeof x === "string" && x !== "") || isRecord(x),
      "a directory or {config}",
    ),
    { config: {} } as ModelSource,
    "directory of a Hugging Face model, or {config} for a new one",
  ),
  task: key(
    v.custom<string | BuiltInTask | FileTask | DataTask>(
      (x) => (typeof x === "string" && x !== "") || isRecord(x),
      "a name or an object",
    ),
    "sort",
    "a built-in task's name, {name, …parameters}, {prompts: FILE.jsonl, reward: FILE.mjs}, or {data: FILE.jsonl}",
  ),
  recipe: key(text, "grpo", "id of the algorithm; `cohort list` shows all"),
  params: key(record, {}, "the recipe's parameters; `cohort list ID` shows them"),
  kl: key(absent(text), null, "KL estimator put into the recipe, such as k3-unbiased; `cohort list` shows kl-*"),
  filter: key(ids('filter=["dynamic-sampling"]'), [], "filters put into the recipe, such as dynamic-sampling"),
  correction: key(absent(text), null, "mismatch correction put into the recipe, such as icepop"),
  aggregate: key(absent(text), null, "aggregation put into the recipe, such as token-mean"),
  options: key(ids('options=["entropy-bonus"]'), [], "further option recipes put into the recipe"),
  promptsPerStep: key(whole(1), 16, "prompts drawn in a step; examples, where the task is a data set"),
  rolloutsPerPrompt: key(whole(1), 8, "completions sampled for each prompt: the size of a group"),
  promptPool: key(
    whole(0),
    0,
    "prompts that the run comes back to, the first of the task; 0: as many as the recipe needs, or ever new ones",
  ),
  maxTokens: key(whole(1), 64, "longest completion, in tokens"),
  temperature: key(real(0, 100), 1, "sampling temperature; 0: greedy"),
  topK: key(whole(0), 0, "sample among the k likeliest tokens; 0: off"),
  topP: key(real(0.000001, 1), 1, "sample among the likeliest tokens of this mass; 1: off"),
  minP: key(real(0, 1), 0, "least probability relative to the likeliest token; 0: off"),
  steps: key(whole(0), 100, "steps of rollout and training"),
  epochsPerBatch: key(whole(1), 1, "passes over the trajectories of a step"),
  miniBatches: key(whole(1), 1, "optimiser steps in a pass"),
  microBatches: key(whole(1), 1, "pieces of an optimiser step, to save memory; changes no number"),
  sharePrompts: key(
    flag,
    false,
    "train on a group's prompt once, not once a completion; changes numbers by rounding alone",
  ),
  learningRate: key(real(0), 1e-4, "peak learning rate"),
  optimizer: key(record, {}, "AdamW"),
  seed: key(whole(0, 2 ** 32 - 1), 0, "everything random follows from it"),
  threads: key(v.union([choice("auto"), whole(1, MAX_THREADS)]), "auto", "worker threads; changes no number"),
  backend: key(choice("auto", "wasm", "webgpu"), "auto", "where the model runs"),
  adapter: key(absent(text), null, "part of the WebGPU adapter's name; null: the first hardware adapter"),
  precision: key(choice(12, 24, "fast"), 12, "significant bits of matmul operands; fast: not exact"),
  lora: key(absent(record), null, "{rank, alpha, targetModules}: train adapters only"),
  reference: key(
    text,
    "auto",
    "reference policy: none, copy, adapter-off, or the directory of another model (a teacher); auto: none unless the recipe needs one",
  ),
  evalEvery: key(whole(0), 0, "steps between evaluations; 0: before and after only"),
  evalPrompts: key(whole(0), 64, "held-out prompts (or examples) in an evaluation; 0: no evaluation"),
  evalSamples: key(whole(1), 8, "completions for each of them"),
  checkpointEvery: key(whole(0), 50, "steps between checkpoints; 0: at the end only"),
  keepCheckpoints: key(whole(1), 2, "newest checkpoints kept"),
  warmStart: key(absent(record), null, "{steps, batch, learningRate}: supervised steps on the task's examples first"),
  out: key(absent(text), null, "run folder; null: runs/<task>-<recipe>-<seed>"),
  resume: key(flag, false, "continue from the newest checkpoint of the run folder"),
};

export interface ModelSource {
  config: Record<string, unknown>;
  tokenizer: "character" | "byte";
  alphabet: string | null;
}
export interface BuiltInTask {
  name: string;
  [parameter: string]: unknown;
}
export interface FileTask {
  prompts: string;
  reward: string;
  weights: Record<string, number>;
  heldout: string | null;
  passAt: number;
}
/** A data set: `format` as in core/data/example.ts. */
export type DataTask = Values<typeof dataTaskKeys>;
type Values<T extends Record<string, v.GenericSchema>> = { -readonly [K in keyof T]: v.InferOutput<T[K]> };
export type OptimizerConfig = Omit<Values<typeof optimizerKeys>, "learningRate"> & { learningRate: number };
export type LoraConfig = Values<typeof loraKeys>;
export type WarmStartConfig = Omit<Values<typeof warmStartKeys>, "learningRate"> & { learningRate: number };

/** A complete configuration: every key present, every path resolved. `keys` above says what each one means. */
export type TrainConfig = Omit<Values<typeof keys>, "model" | "task" | "optimizer" | "lora" | "warmStart"> & {
  /** a directory, or the makings of a new model */
  model: string | ModelSource;
  task: BuiltInTask | FileTask | DataTask;
  optimizer: OptimizerConfig;
  lora: LoraConfig | null;
  warmStart: WarmStartConfig | null;
};

/** True where the task is prompts and a reward of the user's own. */
export function isFileTask(task: TrainConfig["task"]): task is FileTask {
  return "prompts" in task && !("name" in task);
}

/** True where the task is a data set. */
export function isDataTask(task: TrainConfig["task"]): task is DataTask {
  return "data" in task && !("name" in task);
}

/** Reads the keys of one object against a table; what is wrong goes to `wrong`, defaults stand in. */
function readKeys(
  table: Record<string, v.GenericSchema>,
  given: unknown,
  path: string,
  wrong: string[],
): Record<string, unknown> {
  const source = isRecord(given) ? given : {};
  for (const name of Object.keys(source)) {
    if (Object.hasOwn(table, name)) continue;
    const near = nearest(name, Object.keys(table));
    wrong.push(`${path}${name} is not a key${near ? ` (did you mean ${path}${near}?)` : ""}`);
  }
  const values: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries(table)) {
    const result = v.safeParse(schema, source[name]);
    if (result.success) values[name] = result.output;
    else {
      const want = [
        ...new Set(result.issues.flatMap((i) => (i.issues?.length ? i.issues : [i])).map((i) => i.message)),
      ];
      wrong.push(`${path}${name} is ${shown(source[name])}, want ${want.join(" or ")}`);
      values[name] = v.parse(schema, undefined);
    }
  }
  return values;
}

function shown(value: unknown): string {
  const written = typeof value === "number" && !Number.isFinite(value) ? String(value) : JSON.stringify(value);
  return written === undefined ? "undefined" : written.length > 60 ? `${written.slice(0, 60)}…` : written;
}

/** Joins a path to the folder that it is relative to; absolute paths and URLs stay. */
export function resolvePath(base: string, path: string): string {
  if (base === "" || /^(\/|[A-Za-z]:[\\/]|[a-z]+:\/\/)/.test(path)) return path;
  const parts: string[] = [];
  for (const part of `${base}/${path}`.split("/")) {
    if (part === "." || (part === "" && parts.length > 0)) continue;
    if (part === ".." && parts.length > 0 && parts[parts.length - 1] !== ".." && parts[parts.length - 1] !== "")
      parts.pop();
    else parts.push(part);
  }
  return parts.join("/") || ".";
}

/**
 * A complete configuration from JSON.
 * @param options.base the folder that relative paths are relative to: the configuration file's
 * @param options.where what messages call it: the file's name
 * @throws CohortError("bad-config") naming every wrong key and value at once
 */
export function parseConfig(json: unknown, options: { base?: string; where?: string } = {}): TrainConfig {
  const { base = "", where = "config" } = options;
  if (!isRecord(json)) {
    throw new CohortError("bad-config", `${where}: got ${shown(json)}`, "give a JSON object; {} takes every default");
  }
  const wrong: string[] = [];
  const config = readKeys(keys, json, "", wrong) as unknown as TrainConfig;

  config.model = readModel(config.model, base, wrong);
  config.task = readTask(config.task, base, wrong);
  const optimizer = readKeys(optimizerKeys, config.optimizer, "optimizer.", wrong) as Values<typeof optimizerKeys>;
  if (optimizer.learningRate !== null) {
    if (json.learningRate !== undefined && json.learningRate !== optimizer.learningRate) {
      wrong.push(
        `learningRate is ${config.learningRate} and optimizer.learningRate is ${optimizer.learningRate}, want one`,
      );
    }
    config.learningRate = optimizer.learningRate;
  }
  config.optimizer = { ...optimizer, learningRate: config.learningRate };
  if (config.lora) config.lora = readKeys(loraKeys, config.lora, "lora.", wrong) as unknown as LoraConfig;
  if (config.warmStart) {
    const warm = readKeys(warmStartKeys, config.warmStart, "warmStart.", wrong) as Values<typeof warmStartKeys>;
    config.warmStart = { ...warm, learningRate: warm.learningRate ?? config.learningRate };
  }
  config.reference = readReference(config.reference, base, wrong);
  if (config.out !== null) config.out = resolvePath(base, config.out);

  const trajectories = trajectoriesPerStep(config);
  if (config.miniBatches > trajectories) {
    wrong.push(`miniBatches is ${config.miniBatches}, want at most the ${trajectories} trajectories of a step`);
  } else if (config.microBatches > Math.ceil(trajectories / config.miniBatches)) {
    const each = Math.ceil(trajectories / config.miniBatches);
    wrong.push(`microBatches is ${config.microBatches}, want at most the ${each} trajectories of an optimiser step`);
  }
  if (config.reference === "adapter-off" && !config.lora) {
    wrong.push(`reference is "adapter-off" without lora, want "copy" or a lora`);
  }
  if (wrong.length > 0) {
    const count = wrong.length === 1 ? "" : `${wrong.length} things are wrong: `;
    throw new CohortError(
      "bad-config",
      `${where}: ${count}${wrong.join("; ")}`,
      "correct this; `cohort train --help` lists every key",
    );
  }
  return config;
}

function readModel(model: TrainConfig["model"], base: string, wrong: string[]): TrainConfig["model"] {
  if (typeof model === "string") return resolvePath(base, model);
  return readKeys(modelKeys, model, "model.", wrong) as unknown as ModelSource;
}

/** What `reference` says, where it is no directory. */
const referenceWords = ["auto", "none", "copy", "adapter-off"];

/** The directory that `reference` names, if it names one: a teacher, or another reference policy than the first weights. */
export function referenceDirectory({ reference }: TrainConfig): string | null {
  return referenceWords.includes(reference) ? null : reference;
}

function readReference(reference: string, base: string, wrong: string[]): string {
  if (referenceWords.includes(reference)) return reference;
  const near = /[./\\]/.test(reference) ? undefined : nearest(reference, referenceWords);
  if (near) wrong.push(`reference is "${reference}", want "${near}", or a directory as in "./${reference}"`);
  return resolvePath(base, reference);
}

function readTask(task: unknown, base: string, wrong: string[]): TrainConfig["task"] {
  const given = typeof task === "string" ? { name: task } : (task as Record<string, unknown>);
  if ("data" in given && !("name" in given)) {
    const data = readKeys(dataTaskKeys, given, "task.", wrong) as unknown as DataTask;
    return {
      ...data,
      data: resolvePath(base, data.data),
      heldout: data.heldout === null ? null : resolvePath(base, data.heldout),
    };
  }
  if ("prompts" in given || "reward" in given) {
    for (const name of ["prompts", "reward"]) if (!(name in given)) wrong.push(`task.${name} is missing`);
    const files = readKeys(fileTaskKeys, given, "task.", wrong) as unknown as FileTask;
    for (const [name, weight] of Object.entries(files.weights)) {
      if (!isNumber(weight)) wrong.push(`task.weights.${name} is ${shown(weight)}, want a number`);
    }
    return {
      ...files,
      prompts: resolvePath(base, files.prompts),
      reward: resolvePath(base, files.reward),
      heldout: files.heldout === null ? null : resolvePath(base, files.heldout),
    };
  }
  if (typeof given.name !== "string") {
    wrong.push(`task is ${shown(task)}, want a name, {name, …parameters}, {prompts, reward} or {data}`);
    return { name: "sort" };
  }
  try {
    loadTask(given as BuiltInTask);
  } catch (error) {
    wrong.push(error instanceof Error ? error.message : String(error));
  }
  return given as BuiltInTask;
}

/**
 * Overrides of the command line, "a.b=3": values are JSON where they parse as JSON, else text.
 * Works on the JSON before it is parsed, so that overrides are checked like the file. The argument is not changed.
 */
export function applySet(json: unknown, settings: readonly string[]): Record<string, unknown> {
  const root: Record<string, unknown> = isRecord(json) ? structuredClone(json) : {};
  for (const setting of settings) {
    const at = setting.indexOf("=");
    const path = setting.slice(0, at).split(".");
    if (at < 1 || path.some((p) => p === "" || p === "__proto__")) {
      throw new CohortError(
        "bad-config",
        `--set ${shown(setting)}: no key and value`,
        "write --set key=value, as in --set lora.rank=8",
      );
    }
    const written = setting.slice(at + 1);
    let value: unknown = written;
    try {
      value = JSON.parse(written);
    } catch {
      // Not JSON: the text itself.
    }
    let place = root;
    for (const [depth, part] of path.slice(0, -1).entries()) {
      const held = place[part];
      // "task": "sort" and --set task.length=5 together are {name: "sort", length: 5}.
      if (depth === 0 && part === "task" && typeof held === "string") place[part] = { name: held };
      else if (!isRecord(held)) place[part] = {};
      place = place[part] as Record<string, unknown>;
    }
    place[path[path.length - 1]] = value;
    // One setting with two names, both of which a run's own config.json has: the override is meant for both.
    const name = path.join(".");
    if (name === "learningRate" && isRecord(root.optimizer)) delete root.optimizer.learningRate;
    if (name === "optimizer.learningRate") delete root.learningRate;
  }
  return root;
}

/** Completions that a step trains on; of a data set, examples (a preference holds two completions). */
function trajectoriesPerStep(config: TrainConfig): number {
  return isDataTask(config.task) ? config.promptsPerStep : config.promptsPerStep * config.rolloutsPerPrompt;
}

/** What follows from a configuration and is so often asked. */
export interface Derived {
  trajectoriesPerStep: number;
  trajectoriesPerOptimizerStep: number;
  trajectoriesPerMicroBatch: number;
  optimizerStepsPerStep: number;
  optimizerSteps: number;
  /** at most, over the whole run */
  sampledTokens: number;
}

/** The numbers that a configuration implies; where a division leaves a rest, the largest piece. */
export function describeConfig(config: TrainConfig): Derived {
  const trajectories = trajectoriesPerStep(config);
  const perOptimizerStep = Math.ceil(trajectories / config.miniBatches);
  const optimizerStepsPerStep = config.epochsPerBatch * config.miniBatches;
  return {
    trajectoriesPerStep: trajectories,
    trajectoriesPerOptimizerStep: perOptimizerStep,
    trajectoriesPerMicroBatch: Math.ceil(perOptimizerStep / config.microBatches),
    optimizerStepsPerStep,
    optimizerSteps: config.steps * optimizerStepsPerStep,
    sampledTokens: isDataTask(config.task) ? 0 : config.steps * trajectories * config.maxTokens,
  };
}

/** A short name of the task for folders and titles. */
export function taskName(config: TrainConfig): string {
  const { task } = config;
  if (!isFileTask(task) && !isDataTask(task)) return task.name;
  const file = (isDataTask(task) ? task.data : task.prompts).split(/[\\/]/).pop() ?? "";
  return file.replace(/\.(jsonl?|parquet)$/, "").replace(/[^A-Za-z0-9._-]+/g, "-") || "prompts";
}

/** One row a key: path, default as JSON, meaning. */
export function configKeys(): { path: string; standard: string; doc: string }[] {
  const rows = (table: Record<string, v.GenericSchema>, path: string) =>
    Object.entries(table).map(([name, schema]) => ({
      path: path + name,
      standard: JSON.stringify(v.parse(schema, undefined)),
      doc: v.getDescription(schema as never) ?? "",
    }));
  const nested: Record<string, Record<string, v.GenericSchema>> = {
    model: modelKeys,
    task: { ...fileTaskKeys, data: dataTaskKeys.data, format: dataTaskKeys.format },
    optimizer: optimizerKeys,
    lora: loraKeys,
    warmStart: warmStartKeys,
  };
  return rows(keys, "").flatMap((row) => [row, ...(nested[row.path] ? rows(nested[row.path], `${row.path}.`) : [])]);
}
