/** @file The seam between the command line (or another app) and an engine: what a host implements. */

import type { Derived, TrainConfig } from "./config.ts";
import type { KernelConformance } from "./conformance-report.ts";
import type { EvalResult } from "./evaluate.ts";
import type { KernelName } from "./kernels.ts";
import type { StepMetrics } from "./log.ts";
import type { Runtime } from "./train.ts";

/** What is known when a run starts. */
export interface RunInfo {
  /** run folder */
  run: string;
  config: TrainConfig;
  derived: Derived;
  /** where the model runs, for people: "wasm, 2 threads, relaxed SIMD" */
  device: string;
  parameters: number;
  /** fewer than `parameters` with LoRA */
  trainable: number;
  /** expected peak memory, bytes */
  memory?: number;
  /** steps done before, where the run continues */
  resumedAt?: number;
}

export interface TrainHooks {
  /** finish the step, write a checkpoint, return with `interrupted` */
  signal?: AbortSignal;
  /** awaited before step `step` begins: the run waits while its promise is open */
  beforeStep?(step: number): void | Promise<void>;
  onStart?(info: RunInfo): void;
  onWarmStart?(progress: { step: number; steps: number; loss: number }): void;
  onStep?(metrics: StepMetrics): void;
  onEval?(when: "before" | "after" | number, result: EvalResult): void;
  onNote?(text: string): void;
}

export interface TrainResult {
  /** 16 hexadecimal digits: the weights at the end */
  digest: string;
  /** steps done, those before a resume among them */
  steps: number;
  seconds: number;
  /** mean reward of the first and of the last step; null on a data set */
  reward: { first: number | null; last: number | null };
  loss: { first: number | null; last: number | null };
  /** null where evaluation is off, or the run was interrupted before it */
  eval: { before: EvalResult | null; after: EvalResult | null };
  /** run folder */
  run: string;
  /** folder of the model as it is at the end: to be sampled, evaluated, trained on */
  checkpoint: string;
  interrupted: boolean;
}

/** Where and how exactly a model runs. */
export interface DeviceOptions {
  threads?: number | "auto";
  backend?: "auto" | "wasm" | "webgpu";
  /** part of the WebGPU adapter's name */
  adapter?: string;
  precision?: 12 | 24 | "fast";
  /**
   * default true: a GPU is probed when it is opened. false: when the first model is run on it, so that conformance() can
   * show what is wrong with one that is refused
   */
  probe?: boolean;
}

export interface SampleOptions extends DeviceOptions {
  /** model directory, or a run folder: its newest checkpoint */
  model: string;
  prompt: string;
  /** completions; default 1 */
  n?: number;
  /** longest completion, in tokens; default 128 */
  maxTokens?: number;
  /** 0: greedy; default 1 */
  temperature?: number;
  /** sample among the k likeliest tokens; default 0: off */
  topK?: number;
  /** sample among the likeliest tokens of this mass; default 1: off */
  topP?: number;
  /** least probability relative to the likeliest token; default 0: off */
  minP?: number;
  /** default 0 */
  seed?: number;
}

export interface SampleResult {
  /** the completion alone */
  text: string;
  /** the prompt's ids among them */
  ids: number[];
  /** of each generated id, nats */
  logprob: number[];
  finish: "stop" | "length";
}

export interface ScoreOptions extends DeviceOptions {
  /** model directory, or a run folder: its newest checkpoint */
  model: string;
  /** ids, or a text for the model's tokenizer */
  ids: number[] | string;
  /** also the L2 norm of each parameter's gradient of the mean negative log-likelihood; default false */
  grad?: boolean;
}

export interface ScoreResult {
  /** n − 1 numbers for n ids, nats: logprob[k] is that of ids[k + 1] */
  logprob: number[];
  entropy: number[];
  nll: number;
  grad_l2?: Record<string, number>;
}

export interface DoctorResult {
  adapters: { name: string; exact: boolean; failed: string[] }[];
  /** the backend that "auto" takes here */
  auto: string;
  /** further lines for people: threads, SIMD, memory */
  notes?: Record<string, string | number>;
}

export interface Engine {
  /** @param config from `parseConfig` */
  train(config: TrainConfig, hooks?: TrainHooks): Promise<TrainResult>;
  /**
   * @param options.checkpoint model directory or run folder to evaluate instead of the configuration's model
   * @param options.reference model directory of the reference policy, for recipes on data sets that read one
   */
  evaluate(
    config: TrainConfig,
    options?: { checkpoint?: string; reference?: string; onNote?(text: string): void },
  ): Promise<EvalResult>;
  sample(options: SampleOptions): AsyncIterable<SampleResult>;
  score(options: ScoreOptions): Promise<ScoreResult>;
  doctor(): Promise<DoctorResult>;
  /**
   * Every exact kernel on this engine's device against the golden digests. A device that the probe refuses is reached with
   * the option `probe: false`.
   * @param onKernel told each kernel's row as it is ready
   * @param only the kernels that are run; default: all
   */
  conformance?(
    onKernel?: (row: KernelConformance) => void,
    only?: readonly KernelName[],
  ): Promise<{ device: string; kernels: KernelConformance[] }>;
  /** The parts a run is made of, for those that drive a Trainer themselves (demonstrations). */
  readonly runtime?: Runtime;
  /** Every later call fails with "the engine is closed", and so does what is under way. */
  close(): Promise<void>;
}
