/** @file Runs reward functions over samples, and refuses whatever is not a finite number or null. */

import { CohortError } from "../errors.ts";
import type { RewardSpec, Sample } from "./reward.ts";

export interface RewardResult {
  /** reward name → N numbers; NaN where the function answered null */
  readonly rewards: Record<string, Float64Array>;
  /** weighted sum over the functions that applied, N numbers; 0 where none did */
  readonly total: Float64Array;
  /** false where every function answered null: such a sample takes no part in training */
  readonly scored: boolean[];
}

/** The first characters of a text on one line, for messages. */
function excerpt(text: string): string {
  const line = JSON.stringify(text.slice(0, 80));
  return text.length > 80 ? `${line.slice(0, -1)}…"` : line;
}

function show(value: unknown): string {
  if (typeof value === "number") return String(value);
  if (value === undefined) return "undefined";
  if (typeof value === "function") return "a function";
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

async function score(spec: RewardSpec, sample: Sample, index: number): Promise<number> {
  const where = `reward "${spec.name}", sample ${index}, completion ${excerpt(sample.completion)}`;
  let value: unknown;
  try {
    value = await spec.fn(sample);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CohortError(
      "bad-reward",
      `${where}: the function threw "${reason}"`,
      "catch what a completion can make it throw, and return 0, or null where the reward does not apply",
      { cause },
    );
  }
  if (value === null) return Number.NaN;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw new CohortError(
    "bad-reward",
    `${where}: the function returned ${show(value)}`,
    "return one finite number for this one sample, or null where the reward does not apply",
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
  options: { concurrency?: number } = {},
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
        rewards[spec.name][index] = await score(spec, samples[index], index);
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
      throw new CohortError("bad-reward", `runRewards: the weight of "${name}" is ${weight}`, "give a finite number");
    }
    names.add(name);
  }
}

/**
 * Runs every function once over a few samples before training starts, so that a broken reward costs seconds.
 * @throws CohortError("bad-reward") also where no function scores any of the samples
 */
export async function dryRun(functions: readonly RewardSpec[], samples: readonly Sample[]): Promise<RewardResult> {
  const result = await runRewards(functions, samples);
  if (samples.length > 0 && !result.scored.includes(true)) {
    throw new CohortError(
      "bad-reward",
      `dryRun: ${functions.map((f) => `"${f.name}"`).join(", ")} returned null for all ${samples.length} samples`,
      "return a number wherever the reward applies; null leaves a sample out of training",
    );
  }
  return result;
}
