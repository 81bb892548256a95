/** @file What an app asks of an engine, checked before any work: defaults filled in, the rest refused with its remedy. */
import type { DeviceOptions, SampleOptions, ScoreOptions, TrainHooks } from "../core/api.ts";
import { configKeys, type TrainConfig } from "../core/config.ts";
import { CohortError, nearest } from "../core/errors.ts";
import { fits, isRecord, known, number, shown } from "../core/given.ts";
import type { Row } from "../core/rewards/index.ts";
import type { AppData, AppTask, EngineOptions, EvaluateOptions, RunHooks } from "./engine.ts";

/** A task whose prompts are rows. */
export type CheckedTask = Omit<AppTask, "prompts" | "heldout"> & { prompts: readonly Row[]; heldout?: readonly Row[] };

/** Every name of an options type: one that is added there and forgotten here does not compile. */
type Names<T> = Record<keyof T, true>;

const deviceNames: Names<DeviceOptions> = { threads: true, backend: true, adapter: true, precision: true, probe: true };
const engineNames: Names<EngineOptions> = { ...deviceNames, gpu: true, storage: true, logger: true };
const sampleNames: Names<SampleOptions> = {
  ...deviceNames,
  model: true,
  prompt: true,
  n: true,
  maxTokens: true,
  temperature: true,
  topK: true,
  topP: true,
  minP: true,
  seed: true,
};
const scoreNames: Names<ScoreOptions> = { ...deviceNames, model: true, ids: true, grad: true };
const evaluateNames: Names<EvaluateOptions> = { checkpoint: true, reference: true, onNote: true, task: true };
const callbackNames: Names<Omit<TrainHooks, "signal">> = {
  beforeStep: true,
  onStart: true,
  onWarmStart: true,
  onStep: true,
  onEval: true,
  onNote: true,
};
const hookNames: Names<RunHooks> = { ...callbackNames, signal: true, task: true, logger: true };
const taskNames: Names<AppTask> = {
  name: true,
  prompts: true,
  heldout: true,
  rewards: true,
  weights: true,
  passAt: true,
};
const dataNames: Names<AppData> = { name: true, examples: true, heldout: true, format: true };

const hasFunction = (x: unknown, name: string) =>
  typeof x === "object" && x !== null && typeof (x as Record<string, unknown>)[name] === "function";
const isFunction = (x: unknown) => typeof x === "function";

/** @throws CohortError("bad-input") for a value that means nothing */
function checkDevice(where: string, asked: DeviceOptions): void {
  const threads = (x: unknown) => x === "auto" || (Number.isInteger(x) && (x as number) >= 1 && (x as number) <= 256);
  const among =
    (...values: unknown[]) =>
    (x: unknown) =>
      values.includes(x);
  fits(where, asked, "threads", threads, 'a whole number from 1 to 256, or "auto"');
  fits(where, asked, "backend", among("auto", "wasm", "webgpu"), '"auto", "wasm" or "webgpu"');
  fits(where, asked, "adapter", (x) => typeof x === "string", "a part of the adapter's name");
  fits(where, asked, "precision", among(12, 24, "fast"), '12, 24 or "fast"');
  fits(where, asked, "probe", (x) => typeof x === "boolean", "true or false");
}

function checkLogger(where: string, given: { logger?: unknown }): void {
  const list = (x: unknown): unknown[] => (Array.isArray(x) ? x : [x]);
  const loggers = (x: unknown) => list(x).every((logger) => hasFunction(logger, "onMetrics"));
  fits(where, given, "logger", loggers, "an object with the method onMetrics(step, record), or a list of such");
}

/**
 * Of `createDevice`, which opens WASM: Session and newModel take its mathematics from there.
 * @throws CohortError("bad-input") naming the option and the nearest right one, what may stand there, or the way to WebGPU
 */
export function checkWasm(options: DeviceOptions): void {
  const where = "createDevice";
  known(where, options, deviceNames);
  checkDevice(where, options);
  const { backend, adapter, precision } = options;
  if (backend !== "webgpu" && adapter === undefined && precision !== "fast") return;
  const asked =
    backend === "webgpu"
      ? 'backend "webgpu"'
      : adapter === undefined
        ? 'precision "fast"'
        : `adapter ${shown(adapter)}`;
  const remedy = `leave it out, or work on WebGPU with createEngine({ backend: "webgpu" })`;
  throw new CohortError("bad-input", `${where}: ${asked} is not for the WASM device that it opens`, remedy);
}

/**
 * @param more names that this host adds
 * @throws CohortError("bad-input") naming the option and the nearest right one, or what may stand there
 */
export function checkEngine(options: object, more: readonly string[] = []): void {
  const where = "createEngine";
  const names = { ...engineNames, ...Object.fromEntries(more.map((name) => [name, true as const])) };
  known(where, options, names);
  checkDevice(where, options);
  checkLogger(where, options);
  const storage = (x: unknown) => typeof x === "string" || hasFunction(x, "readRange");
  fits(where, options, "storage", storage, "a Storage, as memoryStorage() gives one");
}

/** @throws CohortError("bad-input") as `checkEngine` */
export function checkHooks(hooks: RunHooks): void {
  const where = "engine.train";
  known(where, hooks, hookNames, "a hook");
  for (const name of Object.keys(callbackNames)) fits(where, hooks, name, isFunction, "a function");
  fits(where, hooks, "signal", (x) => hasFunction(x, "addEventListener"), "the signal of an AbortController");
  checkLogger(where, hooks);
}

/** @throws CohortError("bad-input") as `checkEngine` */
export function checkEvaluate(options: EvaluateOptions): void {
  const where = "engine.evaluate";
  known(where, options, evaluateNames);
  for (const name of ["checkpoint", "reference"])
    fits(where, options, name, (x) => typeof x === "string", "the folder of a model, or that of a run");
  fits(where, options, "onNote", isFunction, "a function");
}

function modelOf(where: string, asked: DeviceOptions & { model: unknown }): void {
  checkDevice(where, asked);
  if (typeof asked.model === "string" && asked.model !== "") return;
  const remedy = "give the folder of a model, or that of a run; the makings of a new model are for train alone";
  throw new CohortError("bad-input", `${where}: model is ${shown(asked.model)}`, remedy);
}

/** @throws CohortError("bad-input") naming the option, its value and what may stand there */
export function checkedSample(asked: SampleOptions) {
  const where = "engine.sample";
  known(where, asked, sampleNames);
  modelOf(where, asked);
  const { n = 1, maxTokens = 128, temperature = 1, topK = 0, topP = 1, minP = 0, seed = 0, ...rest } = asked;
  if (typeof asked.prompt !== "string") {
    throw new CohortError("bad-input", `${where}: prompt is ${shown(asked.prompt)}`, "give a text");
  }
  number(where, "n", n, { least: 1, most: 65536, whole: true });
  number(where, "maxTokens", maxTokens, { least: 1, whole: true });
  number(where, "temperature", temperature, { least: 0, most: 100 });
  number(where, "topK", topK, { least: 0, whole: true });
  number(where, "topP", topP, { least: 1e-6, most: 1 });
  number(where, "minP", minP, { least: 0, most: 1 });
  number(where, "seed", seed, { least: 0, most: 2 ** 32 - 1, whole: true });
  return { ...rest, n, maxTokens, temperature, topK, topP, minP, seed };
}

/** @throws CohortError("bad-input") */
export function checkedScore(asked: ScoreOptions): ScoreOptions {
  const where = "engine.score";
  known(where, asked, scoreNames);
  modelOf(where, asked);
  fits(where, asked, "grad", (x) => typeof x === "boolean", "true or false");
  const { ids } = asked;
  if (typeof ids === "string") return asked;
  if (Array.isArray(ids) && ids.every((id) => Number.isInteger(id) && id >= 0)) return asked;
  throw new CohortError("bad-input", `${where}: ids is ${shown(ids)}`, "give a list of token ids, or a text");
}

/** @throws CohortError("bad-config") for what parseConfig did not make: it fills in defaults and checks values */
export function checkConfig(config: TrainConfig, verb: "train" | "evaluate"): void {
  const remedy = `hand over engine.${verb}(parseConfig({ … })), which fills in defaults and checks`;
  if (!isRecord(config)) throw new CohortError("bad-config", `engine.${verb}: config is ${shown(config)}`, remedy);
  const all = new Set(configKeys().map(({ path }) => path.split(".")[0]));
  const absent = [...all].filter((key) => !Object.hasOwn(config, key));
  const unknown = Object.keys(config).find((key) => !all.has(key));
  if (unknown !== undefined) {
    const near = nearest(unknown, all);
    const meant = near ? `did you mean ${near}? ` : "";
    throw new CohortError("bad-config", `engine.${verb}: ${unknown} is not a key of the configuration`, meant + remedy);
  }
  const text = (["task", "optimizer"] as const).find((key) => !isRecord(config[key]));
  if (absent.length === 0 && text === undefined) return;
  const wrong =
    absent.length === 0
      ? `has ${text} ${shown(config[text!])}`
      : `lacks ${absent.slice(0, 3).join(", ")}${absent.length > 3 ? ` and ${absent.length - 3} more keys` : ""}`;
  throw new CohortError("bad-config", `engine.${verb}: the configuration ${wrong}`, remedy);
}

function rowsOf(given: unknown, at: string): Row[] {
  if (!Array.isArray(given)) throw new CohortError("bad-input", `${at} is ${shown(given)}`, "give a list of rows");
  return given.map((row, i) => {
    if (typeof row === "string") return { prompt: row };
    if (isRecord(row) && (typeof row.prompt === "string" || Array.isArray(row.prompt))) return row as Row;
    const remedy = 'give a text, or a row {"prompt": text or messages, …further columns}';
    throw new CohortError("bad-input", `${at}[${i}] is ${shown(row)}`, remedy);
  });
}

/**
 * An app's task with its prompts as rows.
 * @throws CohortError
 */
export function checkedTask(task: AppTask | AppData): CheckedTask | AppData {
  if (!isRecord(task)) {
    throw new CohortError("bad-input", `task is ${shown(task)}`, "give { prompts, rewards } or { examples }");
  }
  const at = `task ${task.name ?? "app"}`;
  if ("examples" in task) {
    for (const key of ["examples", "heldout"] as const) {
      const rows: unknown = task[key];
      if (rows === undefined && key === "heldout") continue;
      const bad = Array.isArray(rows) ? rows.find((row) => !isRecord(row)) : rows;
      if (Array.isArray(rows) && bad === undefined) continue;
      throw new CohortError(
        "bad-input",
        `${at}: ${key} holds ${shown(bad)}`,
        "give a list of rows, objects of columns",
      );
    }
    known(at, task, dataNames, "a key of a task");
    return task as AppData;
  }
  if (!("prompts" in task)) {
    const has = Object.keys(task).join(", ") || "none";
    throw new CohortError("bad-input", `${at}: no prompts among its keys (${has})`, "give { prompts, rewards }");
  }
  checkRewards((task as Record<string, unknown>).rewards, at, "reward" in task);
  known(at, task, taskNames, "a key of a task");
  const { prompts, heldout, ...rest } = task as AppTask;
  return {
    ...rest,
    prompts: rowsOf(prompts, `${at}: prompts`),
    ...(heldout && { heldout: rowsOf(heldout, `${at}: heldout`) }),
  };
}

function checkRewards(rewards: unknown, at: string, single: boolean): void {
  const remedy = "give rewards: one function, or an object of functions by name";
  if (rewards === undefined) {
    const meant = single ? "did you mean rewards? The key reward is for files; " : "";
    throw new CohortError("bad-reward", `${at}: no rewards`, `${meant}${remedy}`);
  }
  if (typeof rewards === "function") return;
  if (!isRecord(rewards)) throw new CohortError("bad-reward", `${at}: rewards is ${shown(rewards)}`, remedy);
  const entries = Object.entries(rewards);
  const bad = entries.find(([, fn]) => typeof fn !== "function");
  if (bad) throw new CohortError("bad-reward", `${at}: reward "${bad[0]}" is ${shown(bad[1])}`, remedy);
  if (entries.length === 0) throw new CohortError("bad-reward", `${at}: rewards is empty`, remedy);
}
