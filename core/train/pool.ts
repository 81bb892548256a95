/**
 * @file The pool of prompts that a run comes back to: the first N of the task's sequence under the seed, each with an index
 * that stays the same at every step, and what was seen of it. Which of them a step takes, and with how many rollouts, is the
 * recipe's decision (its sampler's outputs); without one, passes over the pool, each in its own random order.
 *
 * Everything random is keyed by (seed, step), all else is in `save()`: a resumed run draws what the whole one would have.
 */
import { weighted } from "../draws.ts";
import { CohortError } from "../errors.ts";
import type { Row } from "../rewards/index.ts";
import { Stream, streams } from "../rng.ts";
import type { TaskSource } from "../tasks/index.ts";
import type { StepPrompt, Trajectory } from "./trajectories.ts";

/** What was seen of a prompt. */
export interface History {
  /** rollouts so far, and how many of them were right */
  seen: number;
  right: number;
  /** whether the last RECENT rollouts were right, newest first */
  recent: number[];
  /** rewards of the reference's rollouts, where a supply asks for them */
  reference?: number[];
  /** of the last visit's rollouts, where a supply asks for them */
  responses?: { ids: number[]; logp: number[]; right: number; gradNorm?: number }[];
}

/** How many prompts a run comes back to, and how many rollouts of each go into a step. */
export interface Visit {
  /** index in the pool */
  prompt: number;
  rollouts: number;
}

/** Rollouts over which a prompt's present success rate is taken. */
const RECENT = 16;
/** Pool of a task without end, in steps. */
const STEPS = 8;

export class PromptPool {
  readonly prompts: readonly StepPrompt[];
  readonly history: History[];
  readonly #seed: number;
  /** prompts drawn in passes */
  #cursor = 0;
  /** the present pass */
  #order: { pass: number; order: number[] } = { pass: -1, order: [] };
  /** stratum of each prompt, once there are any */
  categories: number[] | null = null;

  constructor(prompts: readonly StepPrompt[], seed: number) {
    this.prompts = prompts;
    this.history = prompts.map(() => ({ seen: 0, right: 0, recent: [] }));
    this.#seed = seed;
  }

  /**
   * The first distinct prompts of the task.
   * @param size 0: all of a prompt file, or eight steps' worth of a task without end
   */
  static of(
    task: TaskSource,
    config: { promptPool: number; promptsPerStep: number; seed: number },
    ids: (row: Row) => number[],
  ): PromptPool {
    const size = config.promptPool || (task.trainSize ?? STEPS * config.promptsPerStep);
    const rows = new Map<string, Row>();
    // A small task repeats itself: what has not come up in four times as many draws is left out.
    for (let start = 0; rows.size < size && start < 4 * size; start += size) {
      for (const row of task.prompts("train", size, config.seed, start)) {
        const text = JSON.stringify(row.prompt);
        if (rows.size < size && !rows.has(text)) rows.set(text, row);
      }
    }
    return new PromptPool(
      [...rows.values()].map((row, index) => ({ row, ids: ids(row), index })),
      config.seed,
    );
  }

  get size(): number {
    return this.prompts.length;
  }

  /** The next n prompts of the passes. */
  next(n: number, without: ReadonlySet<number> = new Set()): number[] {
    const taken = new Set(without);
    const chosen: number[] = [];
    const most = Math.min(n, this.size - without.size);
    while (chosen.length < most) {
      const pass = Math.floor(this.#cursor / this.size);
      if (this.#order.pass !== pass) {
        const order = new Stream(this.#seed, streams.pool, 0, pass).shuffle(this.prompts.map((_, q) => q));
        this.#order = { pass, order };
      }
      const q = this.#order.order[this.#cursor++ % this.size];
      // One pass may end and the next begin within a step: no prompt stands twice in it.
      if (taken.has(q)) continue;
      taken.add(q);
      chosen.push(q);
    }
    return chosen;
  }

  /**
   * The prompts that a sampler's outputs ask for: `selected` as they are; else by `sampling_weight` over the pool (or over
   * categories: a category's weight is shared by its prompts), of which `n_uniform` places stay with the passes.
   */
  choose(
    outputs: Readonly<Record<string, unknown>>,
    n: number,
    step: number,
    over: "prompts" | "categories",
  ): number[] {
    const selected = numbers(outputs.selected);
    if (selected && selected.length > 0) return selected.filter((q) => q < this.size);
    const given = numbers(outputs.sampling_weight);
    if (!given) return this.next(n);
    const weights = over === "prompts" ? this.prompts.map((_, q) => given[q] ?? 0) : this.#shared(given);
    if (!weights.some((w) => w > 0)) return this.next(n);
    const uniform = typeof outputs.n_uniform === "number" ? Math.min(n, outputs.n_uniform) : 0;
    const drawn = weighted(new Stream(this.#seed, streams.pool, 1, step), weights, n - uniform);
    return [...drawn, ...this.next(n - drawn.length, new Set(drawn))];
  }

  #shared(given: readonly number[]): number[] {
    const categories = this.categories ?? this.prompts.map(() => 0);
    const sizes = new Map<number, number>();
    for (const k of categories) sizes.set(k, (sizes.get(k) ?? 0) + 1);
    return categories.map((k) => (given[k] ?? 0) / sizes.get(k)!);
  }

  /** Takes note of the rollouts of a step's prompts. */
  observe(
    prompts: readonly StepPrompt[],
    rollouts: readonly Trajectory[],
    keep: { responses: boolean; gradNorm?: readonly number[] },
  ): void {
    const visits = new Map<number, { trajectory: Trajectory; k: number }[]>();
    rollouts.forEach((trajectory, k) => {
      const q = prompts[trajectory.prompt].index;
      visits.set(q, [...(visits.get(q) ?? []), { trajectory, k }]);
    });
    for (const [q, list] of visits) {
      const history = this.history[q];
      const right = list.map(({ trajectory }) => Number(trajectory.right));
      history.seen += right.length;
      history.right += right.reduce((a, b) => a + b, 0);
      const news = [...right].reverse();
      history.recent = news.length >= RECENT ? news : [...news, ...history.recent].slice(0, RECENT);
      if (!keep.responses) continue;
      history.responses = list.map(({ trajectory, k }, i) => ({
        ids: [...trajectory.ids],
        logp: [...trajectory.logp],
        right: right[i],
        ...(keep.gradNorm && { gradNorm: keep.gradNorm[k] }),
      }));
    }
  }

  /** Share of right answers among the newest, 0 where there are none yet. */
  rate(q: number): number {
    const { recent } = this.history[q];
    return recent.length > 0 ? recent.reduce((a, b) => a + b, 0) / recent.length : 0;
  }

  /** Plain JSON. */
  save(): unknown {
    return { cursor: this.#cursor, categories: this.categories, history: this.history };
  }

  /** @throws CohortError "bad-model" where the state is that of another pool */
  restore(state: unknown): void {
    const { cursor, categories, history } = state as {
      cursor: number;
      categories: number[] | null;
      history: History[];
    };
    if (history.length !== this.size) {
      throw new CohortError(
        "bad-model",
        `PromptPool.restore: a checkpoint of ${history.length} prompts, the pool has ${this.size}`,
        "continue with the prompts that the run began with",
      );
    }
    this.#cursor = cursor;
    this.categories = categories;
    history.forEach((h, q) => {
      this.history[q] = h;
    });
  }
}

/** A sampler's output as a list: plain, or a vector with its level. */
export function numbers(value: unknown): number[] | undefined {
  if (Array.isArray(value)) return value.map(Number);
  if (typeof value === "object" && value !== null && "data" in value) return [...(value.data as Float64Array)];
  return undefined;
}
