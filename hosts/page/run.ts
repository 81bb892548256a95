/** @file A run of the page: started, continued, paused; what it has told so far; what its folder holds. */
import type { RunInfo } from "../../core/api.ts";
import { isDataTask, isFileTask, parseConfig, type TrainConfig } from "../../core/config.ts";
import { CohortError } from "../../core/errors.ts";
import { readText, type Storage } from "../../core/host.ts";
import type { StepMetrics } from "../../core/log.ts";
import { writeReport } from "../../core/report.ts";
import { type EvaluationLine, listCheckpoints, Run, readRunConfig, type SampleLine } from "../../core/run.ts";
import type { AppTask, BrowserEngine } from "../browser.ts";
import { dataText, understood } from "./data.ts";
import { said } from "./dom.ts";
import { anyEngine, exclusively, openEngine } from "./engine.ts";
import { awake } from "./machine.ts";
import { recipeNamed } from "./recipes.ts";
import { Rewards } from "./reward.ts";
import { configOf, rowsOf, type Setup } from "./setup.ts";
import { Store } from "./store.ts";

export type Phase = "none" | "starting" | "warm start" | "training" | "pausing" | "paused" | "finished" | "failed";

export interface RunState {
  phase: Phase;
  /** run folder; "" before there is one */
  dir: string;
  config: TrainConfig | null;
  info: RunInfo | null;
  metrics: readonly StepMetrics[];
  evaluations: readonly EvaluationLine[];
  samples: readonly SampleLine[];
  /** of a run on a data set: the prompt of its first example */
  prompt: string;
  /** a line about what it is at, or why it stopped */
  message: string;
  digest: string;
}

const nothing: RunState = {
  phase: "none",
  dir: "",
  config: null,
  info: null,
  metrics: [],
  evaluations: [],
  samples: [],
  prompt: "",
  message: "",
  digest: "",
};

export const run = new Store<RunState>(nothing);
export const isActive = (phase: Phase): boolean => ["starting", "warm start", "training", "pausing"].includes(phase);

let stop: AbortController | undefined;

/** Finishes the step, writes a checkpoint; the run can be continued. */
export function pause(): void {
  if (!stop || !isActive(run.value.phase)) return;
  run.set({ phase: "pausing", message: "Finishing this step and writing a checkpoint …" });
  stop.abort();
}

/** A new run with this setup. */
export async function start(setup: Setup, recipe = setup.recipe): Promise<void> {
  run.set({ ...nothing, phase: "starting", message: "Starting …" });
  await attempt(async () => {
    const config = configOf(setup, recipe);
    await train(config, broughtBy({ ...setup, recipe }, config));
  });
}

/** Goes on with a run from its newest checkpoint. */
export async function goOn(dir: string): Promise<void> {
  await show(dir);
  run.set({ phase: "starting", message: "Continuing …" });
  await attempt(async () => {
    const { storage } = await anyEngine();
    const config = parseConfig(await readRunConfig(storage, dir), { where: `${dir}/config.json` });
    const kept = (name: string) => readText(storage, `${dir}/${name}`);
    let brought: Brought = null;
    if (isFileTask(config.task)) {
      const { prompts, reward } = config.task;
      brought = { prompts: await kept(prompts), reward: await kept(reward) };
    } else if (isDataTask(config.task)) {
      brought = { name: config.task.data, lines: await kept(config.task.data) };
    }
    await train({ ...config, out: dir, resume: true }, brought);
  });
}

/** Whether nothing is left to do: a run that was paused at its last step still lacks the evaluation after it. */
export function isFinished(
  config: TrainConfig,
  checkpoint: number,
  evaluations: readonly Pick<EvaluationLine, "when">[],
): boolean {
  return checkpoint >= config.steps && (config.evalPrompts === 0 || evaluations.some(({ when }) => when === "after"));
}

/** Takes a stored run into view. */
export async function show(dir: string): Promise<void> {
  const { storage } = await anyEngine();
  const config = parseConfig(await readRunConfig(storage, dir), { where: `${dir}/config.json` });
  const stored = new Run(storage, dir, config, null);
  const metrics = await stored.metrics();
  const done = metrics.at(-1)?.step ?? 0;
  const at = (await listCheckpoints(storage, dir)).at(-1)?.step ?? 0;
  const evaluations = await stored.evaluations();
  const finished = isFinished(config, at, evaluations);
  run.set({
    ...nothing,
    phase: finished ? "finished" : "paused",
    dir,
    config,
    metrics,
    evaluations,
    samples: (await stored.samples()).slice(-SAMPLES),
    prompt: await firstPrompt(storage, dir, config).catch(() => ""),
    message: finished
      ? `Finished after ${done} steps.`
      : `Stopped after step ${done} of ${config.steps}; it goes on from the checkpoint of step ${at}.`,
    digest: metrics.at(-1)?.digest ?? "",
  });
}

const SAMPLES = 8;

/** What a run learns from where it is no built-in task: kept in its folder, so that it can be continued and taken elsewhere. */
type Brought = { prompts: string; reward: string } | { name: string; lines: string } | null;

function broughtBy(s: Setup, config: TrainConfig): Brought {
  if (isFileTask(config.task)) return { prompts: s.prompts, reward: s.reward };
  if (!isDataTask(config.task)) return null;
  const lines = dataText(s);
  const name = config.task.data;
  if (lines === null) throw new CohortError("bad-input", `${name}: it is not read yet`, "choose it under Task again");
  understood(s, lines);
  return { name, lines };
}

/** What to offer as a prompt to try: the first example's. */
async function firstPrompt(storage: Storage, dir: string, config: TrainConfig): Promise<string> {
  if (!isDataTask(config.task)) return "";
  const path = `${dir}/${config.task.data}`;
  const size = Math.min(await storage.size(path), 1 << 16);
  return promptOf(new TextDecoder().decode(await storage.readRange(path, 0, size)));
}

function promptOf(lines: string): string {
  const line = lines.slice(0, lines.indexOf("\n") + 1 || undefined);
  try {
    const { prompt } = JSON.parse(line) as { prompt?: unknown };
    return typeof prompt === "string" ? prompt : "";
  } catch {
    return "";
  }
}

async function attempt(work: () => Promise<void>): Promise<void> {
  stop = new AbortController();
  try {
    await work();
  } catch (error) {
    run.set({ phase: "failed", message: said(error) });
    if (!(error instanceof CohortError)) console.error(error);
  } finally {
    stop = undefined;
  }
}

async function train(config: TrainConfig, brought: Brought): Promise<void> {
  const own = brought && "reward" in brought ? brought : null;
  const rewards = own && (await Rewards.load(own.reward));
  const { backend, precision } = config;
  const engine = await openEngine({ backend, precision });
  // The engine reads a data set where the configuration names it, which is beside it once the run is exported.
  const examples = brought && "lines" in brought ? brought : null;
  try {
    const task: AppTask | undefined = own
      ? {
          name: "prompts",
          prompts: rowsOf(own.prompts),
          rewards: rewards!.functions,
          ...(isFileTask(config.task) && { passAt: config.task.passAt }),
        }
      : undefined;
    if (examples) {
      await engine.storage.write(examples.name, examples.lines);
      run.set({ prompt: promptOf(examples.lines) });
    }
    await exclusively("training", () => awake(() => follow(engine, config, task, brought)));
  } finally {
    rewards?.close();
    if (examples) await engine.storage.remove(examples.name).catch(() => undefined);
  }
}

/** The files of a run that hold what it learns from. */
function filesOf(brought: Brought): Record<string, string> {
  if (!brought) return {};
  if ("lines" in brought) return { [brought.name]: brought.lines };
  const rows = rowsOf(brought.prompts).map((row) => `${JSON.stringify(row)}\n`);
  return { "prompts.jsonl": rows.join(""), "prompts.mjs": brought.reward };
}

async function follow(
  engine: BrowserEngine,
  config: TrainConfig,
  task: AppTask | undefined,
  brought: Brought,
): Promise<void> {
  let samplesRead = 0;
  let files: Promise<unknown> = Promise.resolve();
  let info: RunInfo | undefined;
  const phase = (to: Phase) => run.value.phase !== "pausing" && run.set({ phase: to });
  // In the order of the steps: a later read holds what an earlier one does.
  const readSamples = async (dir: string) => {
    const path = `${dir}/samples.jsonl`;
    const size = await engine.storage.size(path).catch(() => 0);
    if (size <= samplesRead) return;
    const text = new TextDecoder().decode(await engine.storage.readRange(path, samplesRead, size - samplesRead));
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    samplesRead += new TextEncoder().encode(whole).length;
    const lines = whole.split("\n").flatMap((line) => (line ? [JSON.parse(line) as SampleLine] : []));
    if (lines.length > 0) run.set({ samples: [...run.value.samples, ...lines].slice(-SAMPLES) });
  };
  const enqueue = (work: () => Promise<unknown>) => {
    files = files.then(work).catch((error) => run.set({ message: said(error) }));
  };
  try {
    const result = await engine.train(config, {
      signal: stop!.signal,
      task,
      onStart(started) {
        info = started;
        remember(started.run);
        const kept = <T extends { step: number }>(lines: readonly T[]) =>
          lines.filter(({ step }) => step <= (started.resumedAt ?? -1));
        run.set({
          dir: started.run,
          config: started.config,
          info: started,
          metrics: kept(run.value.metrics),
          evaluations: kept(run.value.evaluations),
          samples: kept(run.value.samples),
          message: started.resumedAt === undefined ? "Evaluating …" : `Continuing after step ${started.resumedAt} …`,
        });
        enqueue(async () => {
          samplesRead =
            started.resumedAt === undefined
              ? 0
              : await engine.storage.size(`${started.run}/samples.jsonl`).catch(() => 0);
          if (started.resumedAt !== undefined) return;
          for (const [name, text] of Object.entries(filesOf(brought))) {
            await engine.storage.write(`${started.run}/${name}`, text);
          }
        });
      },
      onWarmStart({ step, steps, loss }) {
        phase("warm start");
        run.set({ message: `Warm start ${step} of ${steps}: supervised, loss ${loss.toFixed(3)}` });
      },
      onStep(metrics) {
        phase("training");
        const message = run.value.phase === "pausing" ? run.value.message : "";
        run.set({ metrics: [...run.value.metrics, metrics], message, digest: metrics.digest });
        if (info) enqueue(() => readSamples(info!.run));
      },
      onEval(when, result) {
        const step = when === "before" ? 0 : when === "after" ? config.steps : when;
        const line = { ...result, step, when: typeof when === "number" ? "during" : when } as EvaluationLine;
        run.set({ evaluations: [...run.value.evaluations, line], message: "" });
      },
      onNote: (text) => run.set({ message: text }),
    });
    await files;
    await report(engine, result.run, result.digest, result.seconds, info);
    run.set({
      phase: result.interrupted ? "paused" : "finished",
      digest: result.digest,
      message: result.interrupted
        ? `Paused after step ${result.steps} of ${config.steps}.`
        : `Finished: ${result.steps} steps.`,
    });
  } catch (error) {
    await files;
    const { dir, digest } = run.value;
    if (dir) await report(engine, dir, digest, undefined, info).catch(() => undefined);
    const at = dir ? ((await listCheckpoints(engine.storage, dir).catch(() => [])).at(-1)?.step ?? 0) : 0;
    const kept = at > 0 ? ` The checkpoint of step ${at} is kept: Continue goes on from there.` : "";
    run.set({ phase: "failed", message: `${said(error)}.${kept}` });
  }
}

async function report(
  engine: BrowserEngine,
  dir: string,
  digest: string,
  seconds: number | undefined,
  info: RunInfo | undefined,
): Promise<void> {
  const config = parseConfig(await readRunConfig(engine.storage, dir));
  await writeReport(new Run(engine.storage, dir, config, null), {
    recipe: await recipeNamed(config.recipe),
    digest,
    seconds,
    environment: {
      runtime: navigator.userAgent,
      device: info?.device ?? engine.device,
      ...(info && { parameters: info.parameters, "trained parameters": info.trainable }),
      precision: config.precision,
    },
  });
}

const LAST = "cohort-last-run";

function remember(dir: string): void {
  try {
    localStorage.setItem(LAST, dir);
  } catch {
    // It is only not shown by itself after a reload.
  }
}

/** After a reload: the run that was last at work, with Continue beside it. */
export async function showLast(): Promise<void> {
  let dir: string | null = null;
  try {
    dir = localStorage.getItem(LAST);
  } catch {
    // No storage, nothing to show.
  }
  if (!dir || run.value.phase !== "none") return;
  const { storage } = await anyEngine();
  if (await storage.exists(`${dir}/config.json`)) await show(dir);
}

/** Forgets a run that was removed. */
export function forget(dir: string): void {
  if (run.value.dir === dir && !isActive(run.value.phase)) run.set(nothing);
}
