/** @file What the page and the engine's worker call on each other. */
import type {
  DeviceOptions,
  DoctorResult,
  RunInfo,
  SampleOptions,
  SampleResult,
  ScoreOptions,
  ScoreResult,
  TrainResult,
} from "../core/api.ts";
import type { TrainConfig } from "../core/config.ts";
import type { KernelConformance } from "../core/conformance-report.ts";
import type { EvalResult } from "../core/evaluate.ts";
import type { KernelName } from "../core/kernels.ts";
import type { StepMetrics } from "../core/log.ts";
import type { Sample } from "../core/rewards/index.ts";
import type { CheckedTask } from "./asked.ts";
import type { AppData } from "./engine.ts";
import type { StorageOffers } from "./storage-port.ts";
import type { WorkerStart } from "./threads.ts";

/** Where files are kept; auto: OPFS, else IndexedDB, else memory. */
export type StorageKind = "auto" | "opfs" | "indexeddb" | "memory";

export interface WorkerOptions extends DeviceOptions {
  /** "app": the page's own, through its port */
  storage: StorageKind | "app";
  /** folder (OPFS) or database (IndexedDB) that holds everything */
  root: string;
}

/** An app's task without its functions: those stay on the page. */
export interface SentTask extends Omit<CheckedTask, "rewards"> {
  rewardNames: readonly string[];
}

export type { RunInfo, StepMetrics };

/** Offered by the worker. `run` names one training run or evaluation, for its hooks and its end. */
export type WorkerOffers = {
  open(options: WorkerOptions): Promise<{ device: string; threads: number; storage: StorageKind | "app" }>;
  /** `waits`: the page is asked before every step */
  train(run: number, config: TrainConfig, task: SentTask | AppData | null, waits: boolean): Promise<TrainResult>;
  evaluate(
    run: number,
    config: TrainConfig,
    at: { checkpoint?: string; reference?: string },
    task: SentTask | AppData | null,
  ): Promise<EvalResult>;
  /** finish the step, write a checkpoint, return */
  stop(run: number): void;
  sample(options: SampleOptions): Promise<SampleResult[]>;
  score(options: ScoreOptions): Promise<ScoreResult>;
  doctor(): Promise<DoctorResult>;
  conformance(run: number, only?: readonly KernelName[]): Promise<{ device: string; kernels: KernelConformance[] }>;
  close(): Promise<void>;
  importFiles(dir: string, files: readonly { name: string; data: Blob }[]): Promise<void>;
  importUrl(run: number, dir: string, url: string): Promise<void>;
} & StorageOffers;

/** Offered by the page; its files only where it has some of its own (`storage: "app"`). */
export type PageOffers = {
  /** starts a kernel thread; it ends with the engine's worker, or before */
  startThread(start: WorkerStart): Promise<number>;
  endThread(thread: number): void;
  reward(run: number, name: string, sample: Sample): Promise<number | null>;
  beforeStep(run: number, step: number): Promise<void>;
  onStart(run: number, info: RunInfo): void;
  onWarmStart(run: number, progress: { step: number; steps: number; loss: number }): void;
  onStep(run: number, metrics: StepMetrics): void;
  onEval(run: number, when: "before" | "after" | number, result: EvalResult): void;
  onNote(run: number, text: string): void;
  onKernel(run: number, row: KernelConformance): void;
  onBytes(run: number, file: string, bytes: number): void;
} & StorageOffers;
