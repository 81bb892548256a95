/**
 * @file What every host's engine is: a device, files, prompts and rewards put together. No platform is named here; a host
 * supplies the parts.
 */
import type {
  DeviceOptions,
  Engine,
  SampleOptions,
  SampleResult,
  ScoreOptions,
  ScoreResult,
  TrainHooks,
  TrainResult,
} from "../core/api.ts";
import { type BuiltInTask, isDataTask, isFileTask, type TrainConfig, taskName } from "../core/config.ts";
import type { DataFormat } from "../core/data/example.ts";
import type { Columns } from "../core/data/lines.ts";
import { type DataSource, dataSource } from "../core/data/source.ts";
import { CohortError } from "../core/errors.ts";
import type { EvalResult } from "../core/evaluate.ts";
import type { Clock, Storage } from "../core/host.ts";
import { loadModel, makeTrainable } from "../core/model/load.ts";
import { AdamW } from "../core/model/optimizer.ts";
import { pack } from "../core/model/pack.ts";
import { decodeContinuation } from "../core/model/tokenizer.ts";
import { fileTask, splitRows } from "../core/prompts.ts";
import type { RewardFunction, Row } from "../core/rewards/index.ts";
import { streams } from "../core/rng.ts";
import { generate } from "../core/rollout.ts";
import { listCheckpoints } from "../core/run.ts";
import { Session } from "../core/session.ts";
import { loadTask, type TaskSource } from "../core/tasks/index.ts";
import { tellOnce } from "../core/train/once.ts";
import { evaluate, evaluateData, openModel, type Runtime, train } from "../core/train.ts";
import {
  type CheckedTask,
  checkConfig,
  checkEvaluate,
  checkedSample,
  checkedScore,
  checkedTask,
  checkHooks,
} from "./asked.ts";
import { openDataSet } from "./data-set.ts";
import type { Opened } from "./device.ts";
import { HeldDevice } from "./held-device.ts";
import { type Logger, loggerList, withLoggers } from "./log/logger.ts";
import type { AppGpuDevice } from "./own-gpu.ts";
import { startRun, type TrainingRun } from "./running.ts";
import { stoppable } from "./stoppable.ts";

/** Prompts and rewards that an app hands over in JavaScript, in place of the configuration's task. */
export interface AppTask {
  /** in metrics and folder names; default: "app" */
  name?: string;
  /** rows with `prompt` and any other columns; a text stands for a row of it alone */
  prompts: readonly (Row | string)[];
  /** default: an eighth of the prompts is kept apart */
  heldout?: readonly (Row | string)[];
  /** one function (named "reward"), or several by name */
  rewards: RewardFunction | Readonly<Record<string, RewardFunction>>;
  /** of each reward by name; 1 where not named */
  weights?: Readonly<Record<string, number>>;
  /** weighted reward from which a completion counts as right; default 1 */
  passAt?: number;
}

/** Examples that an app hands over in place of the configuration's task: rows with the columns of their format. */
export interface AppData {
  /** in metrics and folder names; default: "app" */
  name?: string;
  examples: readonly Columns[];
  /** default: an eighth of the examples is kept apart */
  heldout?: readonly Columns[];
  /** default "auto": the first example's columns say */
  format?: DataFormat | "auto";
}

/** What a run tells on its way, and the app's own task. */
export interface RunHooks extends TrainHooks {
  task?: AppTask | AppData;
  /** for this run, beside the engine's */
  logger?: Logger | readonly Logger[];
}

/** What an app may hand in, beside how a model runs. */
export interface EngineOptions extends DeviceOptions {
  /**
   * the app's own WebGPU device: probed, used, left alone at the end. No worker can be given one: in a page the engine then
   * runs on the page's thread
   */
  gpu?: AppGpuDevice;
  /** where models are read and runs are written; default: the host's files */
  storage?: Storage;
  /** told of every run of this engine */
  logger?: Logger | readonly Logger[];
}

/** What an evaluation may be told, beside its configuration. */
export interface EvaluateOptions {
  /** model directory or run folder to evaluate instead of the configuration's model */
  checkpoint?: string;
  /** model directory of the reference policy, for recipes on data sets that read one */
  reference?: string;
  onNote?(text: string): void;
  task?: AppTask | AppData;
}

/** An engine that also takes a task from the app, and whose files can be reached. */
export interface HostEngine extends Engine {
  readonly storage: Storage;
  /** @param config from `parseConfig` */
  train(config: TrainConfig, hooks?: RunHooks): Promise<TrainResult>;
  /** The same run, in hand at once: to observe step by step, to pause, to stop. */
  start(config: TrainConfig, hooks?: RunHooks): TrainingRun;
  evaluate(config: TrainConfig, options?: EvaluateOptions): Promise<EvalResult>;
}

export interface EngineParts extends Opened {
  storage: Storage;
  clock: Clock;
  /** the task that a configuration names, where it is no data set */
  taskSource(config: TrainConfig, note?: (text: string) => void): Promise<TaskSource>;
  logger?: EngineOptions["logger"];
}

/** Reward functions by name: what an app may give, in one form. */
export function rewardsByName(rewards: AppTask["rewards"]): Record<string, RewardFunction> {
  return typeof rewards === "function" ? { reward: rewards } : { ...rewards };
}

/** @throws CohortError where there is no prompt, or a weight names no reward */
export function appTask(given: CheckedTask, note: (text: string) => void = () => {}): TaskSource {
  const { name = "app", prompts, weights = {}, passAt = 1 } = given;
  const functions = rewardsByName(given.rewards);
  if (prompts.length === 0) throw new CohortError("bad-input", `task ${name}: prompts is empty`, "give at least one");
  for (const key of Object.keys(weights)) {
    if (Object.hasOwn(functions, key)) continue;
    throw new CohortError(
      "bad-reward",
      `task ${name}: weights names "${key}"`,
      `name ${Object.keys(functions).join()}`,
    );
  }
  const rewards = Object.entries(functions).map(([key, fn]) => ({ name: key, fn, weight: weights[key] ?? 1 }));
  if (given.heldout) return fileTask({ name, train: prompts, heldout: given.heldout, rewards, passAt });
  const { train, heldout, overlap } = splitRows(prompts);
  if (overlap) note(`task ${name}: too few prompts to hold some out; evaluation uses those of training`);
  return fileTask({ name, train, heldout, rewards, passAt });
}

/** @throws CohortError where there is no example, or one is malformed */
export function appData(given: AppData, note: (text: string) => void = () => {}): DataSource {
  const { name = "app", examples, heldout, format } = given;
  if (examples.length === 0) throw new CohortError("bad-input", `task ${name}: examples is empty`, "give at least one");
  const rows = (list: readonly Columns[], of: string) =>
    list.map((columns, i) => ({ where: `task ${name}: ${of}[${i}]`, columns }));
  return dataSource({
    name,
    rows: rows(examples, "examples"),
    ...(heldout && { heldout: rows(heldout, "heldout") }),
    ...(format && { format }),
    note,
  });
}

/** The tasks of a host that cannot load a reward file: the built-in ones. */
export async function builtInTask(config: TrainConfig): Promise<TaskSource> {
  const { task } = config;
  if (!isFileTask(task)) return loadTask(task as BuiltInTask);
  throw new CohortError(
    "bad-reward",
    `task: ${task.reward} cannot be loaded here, a page has no files of modules`,
    "hand prompts and reward functions over: engine.train(config, { task: { prompts, rewards } })",
  );
}

/** A run of an app's own task says so in its config.json, and can be continued on another host. */
function withAppTask(config: TrainConfig, task: AppTask | AppData | undefined): TrainConfig {
  if (!task) return config;
  const { name = "app" } = task;
  if ("examples" in task) {
    if (isDataTask(config.task)) return config;
    return { ...config, task: { data: `${name}.jsonl`, format: task.format ?? "auto", heldout: null } };
  }
  if (isFileTask(config.task)) return config;
  const { weights = {}, passAt = 1 } = task;
  return {
    ...config,
    task: { prompts: `${name}.jsonl`, reward: `${name}.mjs`, weights: { ...weights }, heldout: null, passAt },
  };
}

const precisionOf = (asked: DeviceOptions["precision"]) => (asked === 24 || asked === 12 ? asked : 12);

export function makeEngine(parts: EngineParts): HostEngine {
  const { storage, clock } = parts;
  const held = new HeldDevice(parts);
  const runtimeOn = ({ device, numeric, threads }: Opened): Runtime => ({ device, numeric, storage, clock, threads });
  const source = async (config: TrainConfig, task: AppTask | AppData | undefined, note?: (text: string) => void) => {
    if (task) {
      const checked = checkedTask(task);
      return "examples" in checked ? appData(checked, note) : appTask(checked, note);
    }
    if (isDataTask(config.task)) return openDataSet(config.task, taskName(config), storage, note);
    return parts.taskSource(config, note);
  };
  const trainRun = async (asked: TrainConfig, { task, ...hooks }: Omit<RunHooks, "logger">) => {
    const began = clock();
    checkConfig(asked, "train");
    // An engine that is closed says so before any file is read.
    void held.now;
    if (parts.note) hooks.onNote?.(parts.note);
    let config = withAppTask(asked, task);
    const { source: from, close } = stoppable(await source(asked, task, hooks.onNote), hooks.signal);
    const told = tellOnce({
      ...hooks,
      async beforeStep(step) {
        await hooks.beforeStep?.(step);
        void held.now;
      },
    });
    const work = held.use(
      async (on) => {
        await on.allow?.(config.precision);
        return train(config, from, runtimeOn(on), told.hooks);
      },
      async (reason, { device }) => {
        const { run } = told;
        if (run !== null) config = { ...config, out: run, resume: true };
        const { step = 0 } = (run !== null && (await listCheckpoints(storage, run)).at(-1)) || {};
        const from = step > 0 ? `goes on after step ${step}` : "begins again";
        hooks.onNote?.(`${reason}; the run ${from} on ${device.name}, with the same bits`);
      },
    );
    const result = await work.finally(close);
    return { ...result, seconds: (clock() - began) / 1000 };
  };
  const loggedRun = async (config: TrainConfig, asked: RunHooks = {}) => {
    checkHooks(asked);
    const { logger, ...hooks } = asked;
    const loggers = [...loggerList(parts.logger), ...loggerList(logger)];
    return withLoggers(loggers, hooks, (told) => trainRun(config, told));
  };
  return {
    storage,
    get runtime() {
      return runtimeOn(held.now);
    },
    train: loggedRun,
    start: (config, hooks = {}) => startRun(loggedRun, config, hooks),
    async evaluate(config, options = {}) {
      checkConfig(config, "evaluate");
      checkEvaluate(options);
      const { checkpoint: model, reference, onNote, task: given } = options;
      void held.now;
      const task = await source(config, given, onNote);
      const checkpoint = model && (await modelFolder(storage, model));
      const at: TrainConfig = checkpoint ? { ...config, model: checkpoint } : config;
      return held.use(async (on) => {
        await on.allow?.(config.precision);
        const runtime = runtimeOn(on);
        if ("examples" in task) {
          const started = checkpoint && typeof config.model === "string" ? config.model : null;
          return evaluateData(withAppTask(at, given), task, runtime, reference ?? started);
        }
        const loaded = await openModel(at, task, runtime);
        const session = new Session(on.device, on.numeric, loaded, config.optimizer);
        try {
          return await evaluate(session, task, at);
        } finally {
          session.close();
        }
      });
    },
    async *sample(options: SampleOptions): AsyncIterable<SampleResult> {
      const asked = checkedSample(options);
      yield* await held.use(async (on) => {
        await on.allow?.(asked.precision);
        return sampleWith(runtimeOn(on), { ...asked, model: await modelFolder(storage, asked.model) });
      });
    },
    async score(options: ScoreOptions) {
      const asked = checkedScore(options);
      return held.use(async (on) => {
        await on.allow?.(asked.precision);
        return scoreWith(runtimeOn(on), { ...asked, model: await modelFolder(storage, asked.model) });
      });
    },
    doctor: async () => held.now.doctor(),
    async conformance(onKernel, only) {
      const { device, numeric } = held.now;
      const { conformanceReport } = await import("../core/conformance-report.ts");
      return { device: device.name, kernels: await conformanceReport(device, onKernel, numeric, only) };
    },
    close: () => held.close(),
  };
}

/** The newest checkpoint of a run folder; any other folder is a model's own. */
async function modelFolder(storage: Storage, dir: string): Promise<string> {
  const path = dir.replace(/(?<=.)\/+$/, "");
  if (!(await storage.exists(`${path}/metrics.jsonl`)) && !(await storage.exists(`${path}/checkpoints`))) return dir;
  const newest = (await listCheckpoints(storage, path)).at(-1);
  if (newest) return newest.dir;
  throw new CohortError("bad-model", `${dir}: a run folder without a checkpoint`, "let the run finish a step first");
}

async function sampleWith(
  { device, numeric, storage }: Runtime,
  asked: ReturnType<typeof checkedSample>,
): Promise<SampleResult[]> {
  const loaded = await loadModel(device, numeric, storage, asked.model, { precision: precisionOf(asked.precision) });
  const { model, tokenizer, stopIds } = loaded;
  try {
    const prompt = tokenizer.encode(asked.prompt);
    const options = { ...asked, stopIds };
    const random = { seed: asked.seed, stream: streams.sample, step: 0 };
    const drawn = await generate(model, [prompt], asked.n, options, random);
    return drawn.map(({ ids, logp, finish }) => {
      const text = finish === "stop" ? ids.slice(0, -1) : ids;
      return {
        text: decodeContinuation(tokenizer, prompt, text, { skipSpecial: true }),
        ids: [...prompt, ...ids],
        logprob: Array.from(logp),
        finish,
      };
    });
  } finally {
    model.close();
  }
}

async function scoreWith({ device, numeric, storage }: Runtime, asked: ScoreOptions): Promise<ScoreResult> {
  const loaded = await loadModel(device, numeric, storage, asked.model, { precision: precisionOf(asked.precision) });
  const { model, tokenizer } = loaded;
  try {
    const ids = typeof asked.ids === "string" ? tokenizer.encode(asked.ids) : asked.ids;
    const packed = pack([{ ids, from: 1 }], model.maxTokens, model.config.vocabSize);
    const scores = await model.score(packed);
    const n = scores.logp.length;
    const nll = n === 0 ? 0 : -scores.logp.reduce((a, b) => a + b, 0) / n;
    const result: ScoreResult = { logprob: Array.from(scores.logp), entropy: Array.from(scores.entropy), nll };
    if (!asked.grad) return result;
    makeTrainable(model);
    const options = { learningRate: 0, schedule: "constant" as const, warmupSteps: 0, weightDecay: 0 };
    const optimizer = new AdamW(device, numeric, model.trainable, {
      ...options,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      maxGradNorm: 0,
    });
    model.beginStep([packed]);
    await model.forwardBackward(packed, new Float32Array(n).fill(-1 / Math.max(1, n)), null);
    model.endStep();
    const { each } = await optimizer.gradNorm();
    result.grad_l2 = Object.fromEntries(optimizer.parameters.map((p, i) => [p.name, each[i]]));
    optimizer.close();
    return result;
  } finally {
    model.close();
  }
}

/** The threads to take of `most`. */
export function threadsOf(asked: DeviceOptions["threads"], most: number): number {
  return asked === undefined || asked === "auto" ? Math.max(1, Math.min(8, most)) : asked;
}
