/**
 * @file Rewards on sample completions, before anything is trained: what the model says now, what a right answer, nothing and a
 * very long text would get, and what of it promises trouble. A reward that cannot tell answers apart costs minutes here and
 * hours later.
 */
import type { TrainConfig } from "./config.ts";
import { type RewardResult, type Row, runRewards, type Sample } from "./rewards/index.ts";
import { streams } from "./rng.ts";
import type { Session } from "./session.ts";
import { maximum, mean, minimum, standardDeviation } from "./statistics.ts";
import type { TaskSource } from "./tasks/index.ts";
import { promptIds, promptText } from "./train/model.ts";
import { asSamples } from "./train/trajectories.ts";

/** Where a completion comes from: the model, a file, the row or the task's own example, or made up. */
export type CompletionSource = "model" | "given" | "answer" | "empty" | "long";

export interface CheckedSample {
  source: CompletionSource;
  /** index of the prompt */
  group: number;
  prompt: string;
  completion: string;
  /** null where the reward does not apply */
  rewards: Record<string, number | null>;
  /** weighted sum; null where no reward applies */
  total: number | null;
  right: boolean;
}

/** One reward over all samples. */
export interface RewardStatistics {
  weight: number;
  mean: number | null;
  std: number | null;
  min: number | null;
  max: number | null;
  /** samples with a number; the others got null */
  scored: number;
}

export interface RewardCheck {
  samples: CheckedSample[];
  statistics: Record<string, RewardStatistics>;
  /** share of prompts whose model completions all got the same weighted sum; null without completions of the model */
  frac_reward_zero_std: number | null;
  warnings: string[];
}

/** Completions beside those of the model. */
export interface GivenCompletion {
  completion: string;
  /** default: the first row */
  row?: Row;
}

const LONG = "word ".repeat(4000);
/** Columns that may hold a right answer, in the order in which they are looked for. */
const ANSWERS = ["completion", "solution", "answer", "target"];

function answerOf(task: TaskSource, row: Row): string | null {
  if (task.supervised) return task.supervised(row);
  for (const name of ANSWERS) {
    const value = row[name];
    if (typeof value === "string" || typeof value === "number") return String(value);
  }
  return null;
}

/** `n` completions of the model for each row, as reward functions see them. */
export async function drawSamples(
  session: Session,
  rows: readonly Row[],
  n: number,
  config: TrainConfig,
): Promise<Sample[]> {
  const { loaded } = session;
  const prompts = rows.map((row) => promptIds(loaded.tokenizer, row));
  const random = { seed: config.seed, stream: streams.sample, step: 0 };
  return asSamples(loaded, rows, prompts, await session.sample(prompts, n, config, random));
}

/**
 * Scores completions and says what is odd about the scores.
 * @param drawn the model's completions of `rows`, the same number for each; empty without a model
 * @throws CohortError("bad-reward") as in a run, naming function, sample and value
 */
export async function checkRewards(
  task: TaskSource,
  rows: readonly Row[],
  drawn: readonly Sample[],
  given: readonly GivenCompletion[] = [],
): Promise<RewardCheck> {
  const made = (source: CompletionSource, row: Row, completion: string) => ({
    source,
    sample: { prompt: row.prompt, completion, completionIds: new Uint32Array(completion.length), row },
  });
  const all: { source: CompletionSource; sample: Sample }[] = [
    ...drawn.map((sample) => ({ source: "model" as const, sample })),
    ...given.map(({ completion, row = rows[0] }) => made("given", row, completion)),
  ];
  for (const row of rows) {
    const answer = answerOf(task, row);
    if (answer !== null) all.push(made("answer", row, answer));
  }
  all.push(made("empty", rows[0], ""), made("long", rows[0], LONG));
  const result = await runRewards(
    task.rewards,
    all.map(({ sample }) => sample),
  );
  const samples = all.map(({ source, sample }, i) => checked(task, rows, result, source, sample, i));
  const statistics = Object.fromEntries(
    task.rewards.map(({ name, weight }) => [name, { weight, ...statisticsOf(result.rewards[name]) }]),
  );
  const flat = flatShare(samples, rows.length);
  return { samples, statistics, frac_reward_zero_std: flat, warnings: warningsOf(samples, statistics, flat) };
}

function checked(
  task: TaskSource,
  rows: readonly Row[],
  result: RewardResult,
  source: CompletionSource,
  sample: Sample,
  i: number,
): CheckedSample {
  const values = Object.entries(result.rewards).map(([name, list]) => [name, list[i]] as const);
  return {
    source,
    group: rows.indexOf(sample.row),
    prompt: promptText(sample.row),
    completion: sample.completion,
    rewards: Object.fromEntries(values.map(([name, value]) => [name, Number.isNaN(value) ? null : value])),
    total: result.scored[i] ? result.total[i] : null,
    right: result.scored[i] && task.isRight(Object.fromEntries(values), result.total[i]),
  };
}

function statisticsOf(values: Float64Array): Omit<RewardStatistics, "weight"> {
  const scored = values.filter((value) => !Number.isNaN(value));
  return {
    mean: mean(scored),
    std: scored.length > 0 ? standardDeviation(scored) : null,
    min: minimum(scored),
    max: maximum(scored),
    scored: scored.length,
  };
}

function flatShare(samples: readonly CheckedSample[], groups: number): number | null {
  let flat = 0;
  let counted = 0;
  for (let g = 0; g < groups; g++) {
    const totals = samples.filter((s) => s.source === "model" && s.group === g && s.total !== null).map((s) => s.total);
    if (totals.length < 2) continue;
    counted++;
    if (totals.every((total) => total === totals[0])) flat++;
  }
  return counted > 0 ? flat / counted : null;
}

function warningsOf(
  samples: readonly CheckedSample[],
  statistics: Record<string, RewardStatistics>,
  flat: number | null,
): string[] {
  const warnings: string[] = [];
  for (const [name, { scored, min, max }] of Object.entries(statistics)) {
    if (scored === 0) warnings.push(`"${name}" applies to no sample: it returned null for all`);
    else if (min === max) warnings.push(`"${name}" is ${min} for every sample: it tells nothing apart`);
  }
  if (flat === 1) {
    warnings.push(
      "every prompt's completions get equal rewards: such groups teach nothing; warm-start, ease the task, or shape the reward",
    );
  }
  const best = (source: CompletionSource, of = Math.max) => {
    const totals = samples.filter((s) => s.source === source && s.total !== null).map((s) => s.total as number);
    return totals.length > 0 ? of(...totals) : null;
  };
  const [answer, empty, long] = [best("answer", Math.min), best("empty"), best("long")];
  if (answer !== null && empty !== null && answer <= empty) {
    warnings.push(`a right answer gets ${answer} and an empty completion ${empty}`);
  }
  const others = [answer, best("model"), best("given")].filter((x) => x !== null);
  if (long !== null && others.length > 0 && long >= Math.max(...others) && long > (empty ?? Number.NEGATIVE_INFINITY)) {
    warnings.push(`20,000 characters of one repeated word get ${long}, no less than the best of the others`);
  }
  const wrong = samples.filter((s) => s.source === "answer" && !s.right).length;
  if (wrong > 0)
    warnings.push(`${wrong} right answers do not count as right in pass@k: see passAt, and the row's columns`);
  return warnings;
}
