/** @file What a supply is: a field that some recipes read and plain rollouts do not have. */
import type { TrainConfig } from "../../config.ts";
import type { Params } from "../../recipe.ts";
import type { TaskSource } from "../../tasks/index.ts";
import type { Means, Step } from "../trajectories.ts";

/** Shape of the field as the recipe declares it. */
export type Declared = string | undefined;

export interface Supply {
  /** What the field holds, a phrase. */
  is: string;
  /** Of a prompt that comes back: the run needs a pool. */
  pool?: boolean;
  /** What the pool remembers for it: the last responses, or also their gradient norms. */
  keeps?: "responses" | "gradients";
  /** Whether rollouts or scores of the reference policy are needed. */
  reference?: boolean;
  /** Whether a critic is needed. */
  critic?: boolean;
  /** Whether the field follows the critic from one optimiser step to the next, and has a derivative. */
  now?: boolean;
  /** All logits of the policy as it is: the trainer puts them into the batch itself. */
  logits?: boolean;
  /** Numbers of a token that stay on the host for the step, where they are many. */
  numbers?(model: { vocabSize: number; hiddenSize: number }): number;
  /** Whether its numbers tie trajectories together over the whole batch, so that mini-batches cannot part them. */
  whole?: boolean;
  /** What the task or configuration (with the recipe's parameters) lacks for it, and how to supply that. */
  missing?(task: TaskSource, config: TrainConfig, params: Params): { what: string; remedy: string } | undefined;
  /** Before the first step. */
  start?(means: Means): Promise<void>;
  /** Adds trajectories to the step, or replaces some. */
  rows?(step: Step, means: Means): Promise<void>;
  /** The field of the batch, in the form of a case. */
  field?(step: Step, means: Means, shape: Declared): unknown;
  /** The field when a sampler is asked before the rollouts, about these prompts of the pool. */
  ask?(prompts: readonly number[], means: Means): unknown;
  /** The field of a made-up batch of four trajectories (2, 3, 2, 1 tokens) in two groups, by the declared shape. */
  probe?(shape: Declared): unknown;
}

const LENGTHS = [2, 3, 2, 1];

/** Made-up fields of plain shapes. */
export const probes = {
  token: () => LENGTHS.map((n) => new Array<number>(n).fill(0)),
  trajectory: () => [0, 1, 0, 1],
  ragged: () => LENGTHS.map(() => [0.5]),
};

/** One computation a step and key, however many fields ask for it. */
export function once<T>(step: Step, key: string, make: () => Promise<T>): Promise<T> {
  let known = made.get(step);
  if (!known) {
    known = new Map();
    made.set(step, known);
  }
  let found = known.get(key);
  if (!found) {
    found = make();
    known.set(key, found);
  }
  return found as Promise<T>;
}
const made = new WeakMap<Step, Map<string, Promise<unknown>>>();

/** Places in the step of the batch's groups, in the order of their numbers. */
export const groupsOf = (step: Step): number[] => [...new Set(step.trajectories.map((t) => t.prompt))];
