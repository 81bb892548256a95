/**
 * @file The run folder: config.json, metrics.jsonl (one line a step), samples.jsonl, evaluations.jsonl,
 * checkpoints/step-N/ and report.html.
 *
 * A checkpoint is complete or absent: it is written under another name and renamed. A resumed run drops the lines
 * after its checkpoint, so that no step stands in a file twice.
 */

import { type TrainConfig, taskName } from "./config.ts";
import { CohortError } from "./errors.ts";
import type { EvalResult } from "./evaluate.ts";
import { isRecord } from "./given.ts";
import { readText, type Storage } from "./host.ts";
import { jsonLine, type StepMetrics } from "./log.ts";

/** One line of samples.jsonl. */
export interface SampleLine {
  step: number;
  /** "train" for a rollout, "before", "after" or "during" for an evaluation's completion */
  when: string;
  prompt: string;
  completion: string;
  reward: number | null;
  [more: string]: unknown;
}

/** One line of evaluations.jsonl. */
export interface EvaluationLine extends EvalResult {
  step: number;
  when: "before" | "during" | "after";
}

export interface Checkpoint {
  /** steps done */
  step: number;
  dir: string;
}

const METRICS = "metrics.jsonl";
const SAMPLES = "samples.jsonl";
const EVALUATIONS = "evaluations.jsonl";
const CHECKPOINTS = "checkpoints";

/** Keys that may differ between a run and its continuation. */
const FREE = new Set<string>([
  "adapter",
  "backend",
  "checkpointEvery",
  "evalEvery",
  "evalPrompts",
  "evalSamples",
  "keepCheckpoints",
  "microBatches",
  "out",
  "resume",
  "steps",
  "threads",
]);

/** The first free name among runs/<task>-<recipe>-<seed>, …-2, …-3. */
export async function freeRunFolder(storage: Storage, config: TrainConfig): Promise<string> {
  const name = `runs/${taskName(config)}-${config.recipe}-${config.seed}`;
  for (let suffix = 1; ; suffix++) {
    const dir = suffix === 1 ? name : `${name}-${suffix}`;
    if (!held.get(storage)?.has(dir) && !(await storage.exists(dir))) return dir;
  }
}

/** Lines of a JSON-lines file; a last line cut by a crash is left out. */
export async function readLines<T>(storage: Storage, path: string): Promise<T[]> {
  if (!(await storage.exists(path))) return [];
  const lines = (await readText(storage, path)).split("\n");
  const rows: T[] = [];
  for (const [index, line] of lines.entries()) {
    if (line === "") continue;
    try {
      rows.push(JSON.parse(line) as T);
    } catch (cause) {
      if (index === lines.length - 1) break;
      throw new CohortError("io", `${path}, line ${index + 1}: not JSON`, "remove the line, or start a new run", {
        cause,
      });
    }
  }
  return rows;
}

/** The complete checkpoints of a run folder, oldest first. */
export async function listCheckpoints(storage: Storage, dir: string): Promise<Checkpoint[]> {
  const folder = `${dir}/${CHECKPOINTS}`;
  if (!(await storage.exists(folder))) return [];
  return (await storage.list(folder))
    .map((name) => /^step-(\d+)\/$/.exec(name))
    .filter((match) => match !== null)
    .map((match) => ({ step: Number(match[1]), dir: `${folder}/step-${match[1]}` }))
    .sort((a, b) => a.step - b.step);
}

/** The configuration that a run folder was started with. */
export async function readRunConfig(storage: Storage, dir: string): Promise<unknown> {
  const path = `${dir}/config.json`;
  if (!(await storage.exists(path))) {
    throw new CohortError(
      "bad-input",
      `${dir}: no config.json, this is not a run folder`,
      "name the folder that `cohort train` printed",
    );
  }
  try {
    return JSON.parse(await readText(storage, path));
  } catch (cause) {
    throw new CohortError("bad-input", `${path}: not JSON`, "restore it, or start a new run", { cause });
  }
}

/** Folders that runs are writing to now. */
const held = new WeakMap<Storage, Set<string>>();

export class Run {
  readonly dir: string;
  readonly config: TrainConfig;
  /** where a resumed run goes on from; null at a fresh start */
  readonly resumed: Checkpoint | null;
  /** what its user may not expect */
  readonly notes: readonly string[];
  readonly #storage: Storage;

  constructor(
    storage: Storage,
    dir: string,
    config: TrainConfig,
    resumed: Checkpoint | null,
    notes: readonly string[] = [],
  ) {
    this.#storage = storage;
    this.dir = dir;
    this.config = config;
    this.resumed = resumed;
    this.notes = notes;
  }

  /** Lets go of the folder. */
  close(): void {
    held.get(this.#storage)?.delete(this.dir);
  }

  async appendMetrics(metrics: StepMetrics): Promise<void> {
    await this.#storage.append(`${this.dir}/${METRICS}`, jsonLine(metrics));
  }

  async appendSamples(samples: readonly SampleLine[]): Promise<void> {
    if (samples.length > 0) await this.#storage.append(`${this.dir}/${SAMPLES}`, samples.map(jsonLine).join(""));
  }

  async appendEvaluation(line: EvaluationLine): Promise<void> {
    await this.#storage.append(`${this.dir}/${EVALUATIONS}`, jsonLine(line));
  }

  metrics(): Promise<StepMetrics[]> {
    return readLines(this.#storage, `${this.dir}/${METRICS}`);
  }

  samples(): Promise<SampleLine[]> {
    return readLines(this.#storage, `${this.dir}/${SAMPLES}`);
  }

  evaluations(): Promise<EvaluationLine[]> {
    return readLines(this.#storage, `${this.dir}/${EVALUATIONS}`);
  }

  /**
   * Writes checkpoints/step-N whole or not at all, then removes all but the newest `keepCheckpoints`.
   * @param write fills the folder that it is given
   */
  async checkpoint(step: number, write: (dir: string) => Promise<void>): Promise<Checkpoint> {
    const folder = `${this.dir}/${CHECKPOINTS}`;
    const dir = `${folder}/step-${step}`;
    const temporary = `${folder}/.writing-step-${step}`;
    await this.#storage.remove(temporary);
    try {
      await write(temporary);
      await this.#storage.rename(temporary, dir);
    } catch (error) {
      // What went wrong matters more than a left-over folder; the next checkpoint or start removes it.
      await this.#storage.remove(temporary).catch(() => {});
      throw error;
    }
    await this.#storage.write(`${folder}/latest`, `step-${step}\n`);
    const all = await listCheckpoints(this.#storage, this.dir);
    const older = all.filter((c) => c.step < step).slice(0, -(this.config.keepCheckpoints - 1) || undefined);
    for (const old of older) await this.#storage.remove(old.dir);
    return { step, dir };
  }

  async write(name: string, text: string): Promise<string> {
    const path = `${this.dir}/${name}`;
    await this.#storage.write(path, text);
    return path;
  }
}

/**
 * Makes a run folder, or opens one to go on from its newest checkpoint (`config.resume`).
 * @throws CohortError where the folder holds something and resume is off, cannot be written, or holds a run of
 *   another configuration
 */
export async function openRun(storage: Storage, config: TrainConfig): Promise<Run> {
  const own = held.get(storage) ?? new Set();
  held.set(storage, own);
  let dir = config.out ?? (await freeRunFolder(storage, config));
  // Somebody else may have taken the name while it was looked for.
  while (config.out === null && own.has(dir)) dir = await freeRunFolder(storage, config);
  if (own.has(dir)) {
    throw new CohortError(
      "bad-input",
      `run folder ${dir}: another run is writing to it`,
      "wait for its end, or give another --out (in a configuration: out)",
    );
  }
  own.add(dir);
  try {
    return await openFolder(storage, config, dir);
  } catch (error) {
    own.delete(dir);
    throw error;
  }
}

async function openFolder(storage: Storage, config: TrainConfig, dir: string): Promise<Run> {
  const names = (await storage.exists(dir)) ? await listOrRefuse(storage, dir) : [];
  if (names.length > 0 && !config.resume) {
    throw new CohortError(
      "bad-input",
      `run folder ${dir}: not empty (${names.slice(0, 3).join(", ")}${names.length > 3 ? ", …" : ""})`,
      "give another --out, or --resume to continue the run in it (in a configuration: out, or resume: true)",
    );
  }
  let resumed: Checkpoint | null = null;
  const notes: string[] = [];
  if (names.length === 0 && config.resume) notes.push(`there is no run in ${dir} to resume: a new one begins`);
  if (names.length > 0) {
    const before = (await readRunConfig(storage, dir)) as Record<string, unknown>;
    refuseOtherConfig(dir, await withMoved(storage, before, config), config);
    resumed = (await listCheckpoints(storage, dir)).at(-1) ?? null;
    for (const name of names.includes(`${CHECKPOINTS}/`) ? await storage.list(`${dir}/${CHECKPOINTS}`) : []) {
      if (name.startsWith(".writing-")) await storage.remove(`${dir}/${CHECKPOINTS}/${name.replace(/\/$/, "")}`);
    }
    const last = resumed?.step ?? -1;
    if (last > config.steps) {
      throw new CohortError(
        "bad-config",
        `run folder ${dir}: steps is ${config.steps}, and ${last} are done`,
        `give ${last} or more to continue it, or start a new run with another --out (in a configuration: out)`,
      );
    }
    const { schedule } = config.optimizer;
    if (last > 0 && before.steps !== config.steps && schedule !== "constant") {
      const fresh = `a run of ${config.steps} steps from the start would have had others`;
      notes.push(
        `steps was ${before.steps} and is ${config.steps}: the ${schedule} schedule goes on at another learning rate, and ${fresh}`,
      );
    }
    for (const file of [METRICS, SAMPLES]) await dropAfter(storage, `${dir}/${file}`, last);
    // The evaluation after training is one on the way where the run goes further, or is to be evaluated in another way.
    const same = (["evalPrompts", "evalSamples"] as const).every((key) => before[key] === config[key]);
    const still = (line: EvaluationLine) => line.when !== "after" || (same && line.step >= config.steps);
    await dropAfter(storage, `${dir}/${EVALUATIONS}`, last, (line: EvaluationLine) =>
      still(line) ? line : { ...line, when: "during" as const },
    );
  }
  try {
    await storage.write(`${dir}/config.json`, `${JSON.stringify({ ...config, out: null, resume: false }, null, 2)}\n`);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split(" — ")[0] : String(cause);
    throw new CohortError(
      "io",
      `run folder ${dir}: cannot be written: ${reason}`,
      "give another --out (in a configuration: out)",
      { cause },
    );
  }
  return new Run(storage, dir, { ...config, out: dir }, resumed, notes);
}

async function listOrRefuse(storage: Storage, dir: string): Promise<string[]> {
  try {
    return await storage.list(dir);
  } catch (cause) {
    throw new CohortError(
      "bad-input",
      `run folder ${dir}: not a folder that can be read`,
      "give another --out (in a configuration: out)",
      {
        cause,
      },
    );
  }
}

/** Keeps the lines of steps up to `step`, as `kept` makes them. */
async function dropAfter<T extends { step: number }>(
  storage: Storage,
  path: string,
  step: number,
  kept: (line: T) => T = (line) => line,
): Promise<void> {
  if (!(await storage.exists(path))) return;
  const lines = await readLines<T>(storage, path);
  const text = lines.filter((line) => line.step <= step).map((line) => jsonLine(kept(line)));
  await storage.write(path, text.join(""));
}

/** JSON with sorted keys: equal values, equal text. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, v) =>
    v && typeof v === "object" && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1)))
      : v,
  );
}

/** The configuration before with today's path in place of each whose file is no longer there, where today's is. */
async function withMoved(
  storage: Storage,
  before: Record<string, unknown>,
  now: TrainConfig,
): Promise<Record<string, unknown>> {
  const moved = async (old: unknown, path: unknown) => {
    if (typeof old !== "string" || typeof path !== "string" || old === path) return old;
    const same = path.endsWith(`/${old}`) || !(await storage.exists(old));
    return same && (await storage.exists(path)) ? path : old;
  };
  const reference = await moved(before.reference, now.reference);
  if (typeof before.task !== "object" || before.task === null) return { ...before, reference };
  const task: Record<string, unknown> = { ...before.task };
  const today = now.task as Record<string, unknown>;
  // A built-in task's parameters are no paths.
  for (const key of "name" in task ? [] : ["prompts", "reward", "data", "heldout"]) {
    if (key in task) task[key] = await moved(task[key], today[key]);
  }
  return { ...before, reference, task };
}

/** What is not the same, key by key: [path, "was … and is …"]. */
function differences(path: string, was: unknown, is: unknown): [string, string][] {
  if (canonical(was) === canonical(is)) return [];
  if (isRecord(was) && isRecord(is)) {
    const keys = [...new Set([...Object.keys(was), ...Object.keys(is)])];
    // Without a key in common it is another kind of thing, such as a file in place of a built-in task.
    const kin = keys.some((key) => key in was && key in is) || [was, is].some((one) => Object.keys(one).length === 0);
    if (kin) return keys.flatMap((key) => differences(`${path}.${key}`, was[key], is[key]));
  }
  const shown = (value: unknown) => (value === undefined ? "not given" : canonical(value));
  return [[path, `was ${shown(was)} and is ${shown(is)}`]];
}

function refuseOtherConfig(dir: string, before: Record<string, unknown>, config: TrainConfig): void {
  const now = config as unknown as Record<string, unknown>;
  // A model directory may have moved; the sizes of a new model may not change.
  const moved = typeof before.model === "string" && typeof now.model === "string";
  const all = Object.keys(now)
    .filter((name) => !FREE.has(name) && !(name === "model" && moved))
    .flatMap((name) => differences(name, before[name], now[name]));
  // The run's learning rate is the optimiser's, and the warm start's follows it where it is not given: told once.
  const rate = all.find(([path]) => path === "optimizer.learningRate")?.[1];
  const followers = ["learningRate", "warmStart.learningRate"];
  const differ = all
    .filter(([path, change]) => change !== rate || !followers.includes(path))
    .map(([path, change]) => `${path} ${change}`);
  if (differ.length > 0) {
    throw new CohortError(
      "bad-config",
      `run folder ${dir}: cannot continue under another configuration: ${differ.join("; ")}`,
      "set these back, or start a new run with another --out (in a configuration: out)",
    );
  }
}
