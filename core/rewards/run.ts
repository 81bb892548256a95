/** @file Runs reward functions over samples, and refuses whatever is not a finite number or null. */

import { CohortError } from "../errors.ts";
import { excerpt, show } from "../show.ts";
import type { RewardSpec, Sample } from "./reward.ts";

export interface RewardResult {
  /** reward name → N numbers; NaN where the function answered null */
  readonly rewards: Record<string, Float64Array>;
  /** weighted sum over the functions that applied, N numbers; 0 where none did */
  readonly total: Float64Array;
  /** false where every function answered null: such a sample takes no part in training */
  readonly scored: boolean[];
}

interface Options {
  concurrency?: number;
  /** before training, on completions that no model wrote: messages say so */
  trial?: boolean;
}

const isCohortError = (cause: unknown): cause is CohortError =>
  // By name: a reward file may bring its own copy of the class.
  cause instanceof Error && cause.name === "CohortError";

const promptOf = ({ prompt }: Sample) =>
  excerpt(typeof prompt === "string" ? prompt : prompt.map(({ content }) => content).join(" "), 60);

const completionOf = ({ completion }: Sample) =>
  completion === "" ? "an empty completion" : `the completion ${excerpt(completion)}`;

/** What was thrown, in words: it may be nothing at all. */
function thrown(cause: unknown): string {
  if (cause === undefined) return "threw nothing: undefined, without a reason";
  if (!(cause instanceof Error)) return `threw ${show(cause)}`;
  return cause.message === "" ? `threw ${cause.name} without a message` : `threw "${cause.message}"`;
}

async function score(spec: RewardSpec, sample: Sample, index: number, trial: boolean): Promise<number> {
  const where = trial
    ? `reward "${spec.name}", in the trial before training, on ${completionOf(sample)} to the prompt ${promptOf(sample)}`
    : `reward "${spec.name}", sample ${index}, completion ${excerpt(sample.completion)}`;
  const empty = trial && sample.completion === "" ? "a model may write nothing too: " : "";
  let value: unknown;
  try {
    value = await spec.fn(sample);
  } catch (cause) {
    // What is wrong with the row or the reward's options has a remedy of its own.
    if (isCohortError(cause)) {
      const row = trial ? where : `reward "${spec.name}", sample ${index}, prompt ${promptOf(sample)}`;
      throw new CohortError("bad-reward", `${row}: ${cause.message}`, "", { cause });
    }
    throw new CohortError(
      "bad-reward",
      `${where}: the function ${thrown(cause)}`,
      `${empty}catch what a completion can make it throw, and return 0, or null where the reward does not apply`,
      { cause },
    );
  }
  if (value === null) return Number.NaN;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw new CohortError(
    "bad-reward",
    `${where}: the function returned ${show(value)}`,
    `${empty}return one finite number for this one sample, or null where the reward does not apply`,
  );
}

/**
 * Scores N samples with every function, at most `concurrency` calls in flight.
 * The result does not depend on the order in which promises settle; of several failures the first in
 * (sample, function) order is reported.
 * @throws CohortError("bad-reward") naming the function, the sample, the value
 */
export async function runRewards(
  functions: readonly RewardSpec[],
  samples: readonly Sample[],
  options: Options = {},
): Promise<RewardResult> {
  checkSpecs(functions);
  const n = samples.length;
  const rewards: Record<string, Float64Array> = Object.fromEntries(functions.map((f) => [f.name, new Float64Array(n)]));
  const jobs = n * functions.length;
  let next = 0;
  let failedAt = jobs;
  let failure: unknown;
  const worker = async () => {
    while (next < jobs && failure === undefined) {
      const job = next++;
      const spec = functions[job % functions.length];
      const index = Math.floor(job / functions.length);
      try {
        rewards[spec.name][index] = await score(spec, samples[index], index, options.trial ?? false);
      } catch (error) {
        if (job < failedAt) {
          failedAt = job;
          failure = error;
        }
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(options.concurrency ?? 32, jobs) }, worker));
  if (failure !== undefined) throw failure;

  const total = new Float64Array(n);
  const scored: boolean[] = new Array(n).fill(false);
  for (const { name, weight } of functions) {
    for (let i = 0; i < n; i++) {
      const value = rewards[name][i];
      if (Number.isNaN(value)) continue;
      total[i] += weight * value;
      scored[i] = true;
    }
  }
  return { rewards, total, scored };
}

function checkSpecs(functions: readonly RewardSpec[]): void {
  if (functions.length === 0) {
    throw new CohortError("bad-reward", "runRewards: there is no reward function", "give at least one");
  }
  const names = new Set<string>();
  for (const { name, weight } of functions) {
    if (names.has(name)) {
      throw new CohortError("bad-reward", `runRewards: two reward functions are named "${name}"`, "rename one of them");
    }
    if (!Number.isFinite(weight)) {
      throw new CohortError(
        "bad-reward",
        `runRewards: the weight of "${name}" is ${show(weight)}`,
        "give a finite number",
      );
    }
    names.add(name);
  }
}

/**
 * The trial before training: every function once over a few samples, so that a broken reward costs seconds.
 * @throws CohortError("bad-reward") also where no function scores any of the samples
 */
export async function dryRun(functions: readonly RewardSpec[], samples: readonly Sample[]): Promise<RewardResult> {
  const result = await runRewards(functions, samples, { trial: true });
  if (samples.length > 0 && !result.scored.includes(true)) {
    const names = functions.map((f) => `"${f.name}"`).join(", ");
    const tried = samples.map((sample) => `${completionOf(sample)} to the prompt ${promptOf(sample)}`).join(", ");
    throw new CohortError(
      "bad-reward",
      `reward ${names}, in the trial before training: returned null for all ${samples.length} samples (${tried})`,
      "return a number wherever the reward applies, to an empty completion too; null leaves a sample out of training",
    );
  }
  return result;
}
