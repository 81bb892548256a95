/**
 * @file What a recipe is: its slots, its description, its parameters.
 */
import type { Shape } from "../batch.ts";
import type { Context } from "../rl/context.ts";
import type { Vec } from "../rl/vec.ts";
import type { ParamSpecs, Params, Values } from "./parameters.ts";

export type Stage =
  | "sampler"
  | "rollout"
  | "reward"
  | "filter"
  | "advantage"
  | "objective"
  | "update"
  | "preference"
  | "diffusion"
  | "offline"
  | "policy"
  | "pipeline"
  | "application"
  | "theory";

export type DataKind = "pairs" | "labels" | "completions";

/** What a trainer makes beside the fields of plain rollouts; core/train/supply.ts says what each is. */
export type SupplyName =
  | "prompt"
  | "prompt-stats"
  | "category"
  | "thompson-draws"
  | "pool-successes"
  | "pool-correct"
  | "pool-tokens"
  | "pool-gradients-right"
  | "pool-gradients-wrong"
  | "stored-logp"
  | "stored-logp-now"
  | "reference-reward"
  | "reference-rewards"
  | "greedy-reward"
  | "reference-answers"
  | "win-probability"
  | "demonstration"
  | "demonstration-tokens"
  | "demonstration-reward"
  | "anchor"
  | "clause-similarity"
  | "judge-score"
  | "hint-reward"
  | "completion"
  | "solution"
  | "right"
  | "signed-reward"
  | "lengths"
  | "sentences"
  | "sentence-type"
  | "segment"
  | "segment-last"
  | "roll-in"
  | "multiplicity"
  | "segment-count"
  | "segment-gain"
  | "segment-right"
  | "segment-outcome"
  | "segment-state"
  | "segment-text"
  | "segment-next"
  | "segment-belief"
  | "outcome"
  | "logp-at-temperature"
  | "collision"
  | "value"
  | "value-now"
  | "outcome-return"
  | "logits"
  | "last-hidden"
  | "top-ids"
  | "top-logits"
  | "top-place"
  | "schedule"
  | "thought-needed"
  | "thought-used"
  | "thought-broken"
  | "thought-decision"
  | "hits"
  | "line"
  | "last"
  | "text-embedding"
  | "author-embedding"
  | "judge-digit"
  | "word-count"
  | "the-end"
  | "variant-pairs"
  | "vine-sets"
  | "signature"
  | "reward-stream"
  | "cut-values"
  | "probe-right"
  | "probe-confidence"
  | "buffer-score"
  | "difficulty-bin"
  | "bin-sizes"
  | "failure";

/** What a filter keeps, as 1s and 0s. */
export interface Kept {
  /** Over trajectories. */
  keep?: Vec;
  /** Over tokens. */
  keepToken?: Vec;
  /** Whether dropped tokens also leave the denominators (default: they stay in them). */
  leftOut?: boolean;
}

/** Rewards that some trajectories do not have (`present` 0): those leave every moment and get advantage 0. */
export interface Partly {
  reward: Vec;
  present: Vec;
}

export type State = Record<string, unknown>;

/**
 * Weights by name, each set to a sum of others times their coefficients, in this order. `policy` is what is trained,
 * `reference` what it is compared with.
 */
export type WeightMoves = readonly (readonly [name: string, sum: Readonly<Record<string, number>>])[];

/** A reference policy that follows the policy. */
export interface MovingReference<P = Params> {
  /** Weights kept beside the reference; before the first step all of them are the policy's. */
  keeps?: readonly string[];
  /** What happens after step `step` (from 1). */
  moves(step: number, p: P): WeightMoves;
}

/** The slots that a recipe may fill; p are its parameters. */
export interface Slots<P = Params> {
  /** Which prompts, how many rollouts: reports through c.output("sampling_weight" | "rollouts" | "selected", …). */
  sampler?(c: Context, p: P): void;
  /** The reward that the advantage starts from, over trajectories or tokens; output `reward_shaped`. */
  reward?(c: Context, p: P): Vec | Partly;
  /** Output `advantage`, at the level of what is returned. */
  advantage?(c: Context, p: P): Vec;
  filter?(c: Context, p: P): Kept;
  /** Constant multiplier of the policy term, over tokens or trajectories; output `weight`. */
  weight?(c: Context, p: P): Vec;
  /**
   * One number for each token, from that token's rows over the vocabulary alone (`logits`, `logits_ref`); later slots read it
   * as `c.row`. Trainers run it chunk by chunk, and never hold tokens × vocabulary.
   */
  rows?(c: Context, p: P): Vec;
  ratio?(c: Context, p: P): Vec;
  /** From the ratio to the loss of each element (c.advantage is there). */
  gate?(c: Context, ratio: Vec, p: P): Vec;
  /** A term added to the token loss, coefficient included; over the batch: added after the aggregation. */
  kl?(c: Context, p: P): Vec;
  /** A term subtracted from the token loss, likewise. */
  entropy?(c: Context, p: P): Vec;
  aggregate?(c: Context, loss: Vec, p: P): Vec;
  /** Further terms, over the batch. */
  aux?(c: Context, p: P): Vec;
  /** The whole loss, in place of ratio … aux. */
  loss?(c: Context, p: P): Vec;
  /** Results that are no part of a policy-gradient step. */
  outputs?(c: Context, p: P): Record<string, unknown> | undefined;
  reference?: MovingReference<P>;
  state?: {
    init(p: P): State;
    /** After `prepare`: the state for the next rollout batch. */
    update?(c: Context, p: P): State;
    /** After an optimiser step (the loss is built, values may be asked for). */
    step?(c: Context, p: P): State;
  };
}

export interface Recipe<S extends ParamSpecs = ParamSpecs> extends Slots<Values<S>> {
  /** The file's name. */
  id: string;
  paper: { title: string; arxiv?: string; source?: string };
  stage: readonly Stage[];
  /** What it changes against plain GRPO and what it leaves out. */
  describe: string;
  formula: string;
  params: S;
  /** Fields beyond the standard ones. */
  fields?: Readonly<Record<string, Shape>>;
  /** Fields, beyond those of the current policy, that the loss is differentiated by. */
  differentiate?: readonly string[];
  /** One option, not a whole system: absent slots stay empty. */
  option?: boolean;
  /**
   * `refuse`: why it cannot train a language model from rollouts, where it cannot. `data`: it trains from a data set of
   * such examples: pairs of a chosen and a rejected completion, completions labelled good or bad, or completions to learn.
   * `keys`: where it is no part of a loss, the keys of a run's configuration that do it. `head`: what is trained gives a score in place of tokens. `teacher`: the reference policy has to be another model.
   * `sampled`: the parameter with the share of steps on a data set whose completions the policy samples itself.
   * `supply`: fields that rollouts alone do not have, and which of the trainer's supplies (core/train/supply.ts) makes each.
   * `noise`: the passes of optimiser steps have noise in their hidden states (core/model/noise.ts), and `logp` and `entropy`
   * are those of such a pass; the parameters that hold the learned scale's first value (0: no noise) and its learning rate.
   * `tokenDraws`: the slot `rows` reads `tokens` and `samples`, so many tokens drawn from each row at a temperature: the
   * parameters that hold them.
   * `draws`: the sampler decides which prompts are drawn, by `sampling_weight` over the prompts of the pool or over their
   * categories, or by `selected`, and how many rollouts each gets, by `rollouts`; or the latter alone; or again after every
   * round of rollouts, until there are as many as `rollouts` says, of which `selected` (lists by prompt) are kept.
   */
  trains?: {
    refuse?: string;
    keys?: readonly string[];
    data?: DataKind;
    head?: "score";
    teacher?: true;
    sampled?: string;
    supply?: Readonly<Record<string, SupplyName>>;
    tokenDraws?: { readonly count: string; readonly temperature: string };
    noise?: { readonly scale: string; readonly learningRate: string };
    draws?: "prompts" | "categories" | "rollouts" | "rounds";
  };
}

/** As given; its type makes the parameters known to the slots. */
export function defineRecipe<const S extends ParamSpecs>(recipe: Recipe<S>): Recipe {
  return recipe as unknown as Recipe;
}
