/**
 * @file What a run learns with, whatever it learns from: the recipe, the session, the reference, how far it is. The loop of
 * core/train.ts drives it step by step.
 */
import type { TrainHooks } from "../api.ts";
import type { Batch } from "../batch.ts";
import { describeConfig, type TrainConfig } from "../config.ts";
import { CohortError } from "../errors.ts";
import type { EvalResult } from "../evaluate.ts";
import type { Storage } from "../host.ts";
import type { StepMetrics } from "../log.ts";
import type { NoiseKey } from "../model/noise.ts";
import type { Sequence } from "../model/pack.ts";
import type { Scores } from "../model/transformer.ts";
import {
  type Objective,
  objective,
  type Params,
  type Recipe,
  type Rows,
  readsReferenceRows,
  rowDerivatives,
  rowNumbers,
  type State,
} from "../recipe.ts";
import type { SampleLine } from "../run.ts";
import type { RowOptions, Session } from "../session.ts";
import type { Runtime } from "./model.ts";
import { type ReferenceKind, ReferencePolicy } from "./reference.ts";

export interface LearnerParts {
  config: TrainConfig;
  recipe: Recipe;
  params: Params;
  session: Session;
  runtime: Runtime;
  reference: ReferenceKind;
}

/** What the policy says of sequences now: scores, and what the recipe makes of rows over the vocabulary. */
export interface Policy extends Scores {
  row?: Float64Array;
}

/** What one optimiser step gave. */
export interface Stepped {
  result: Objective;
  gradNorm: number;
  learningRate: number;
}

export abstract class Learner {
  readonly config: TrainConfig;
  readonly recipe: Recipe;
  readonly params: Params;
  readonly session: Session;
  readonly runtime: Runtime;
  readonly policyReference: ReferencePolicy;
  /** Optimiser steps of the whole run. */
  readonly optimizerSteps: number;
  /** The recipe's state after the last step. */
  state: State | undefined;
  /** Supervised steps done. */
  warmSteps = 0;
  /** Steps done. */
  step = 0;
  /** Tokens so far, those of prompts among them. */
  tokens = 0;
  /** Rows of the training data used so far. */
  cursor = 0;

  constructor(given: LearnerParts) {
    this.config = given.config;
    this.recipe = given.recipe;
    this.params = given.params;
    this.session = given.session;
    this.runtime = given.runtime;
    this.optimizerSteps = describeConfig(given.config).optimizerSteps;
    this.policyReference = new ReferencePolicy(given.reference, given.session, given.runtime, given);
  }

  /** Supervised steps before the first one, where the configuration asks for them. */
  async warmStart(_hooks: TrainHooks): Promise<void> {}

  /** Freezes the reference policy as the model is now, or takes it from `dir` where the run continues. */
  settleReference(dir: string, checkpoint: string | null = null): Promise<void> {
    return this.policyReference.settle(dir, checkpoint);
  }

  /** What a checkpoint holds beside weights, moments, counters and the recipe's state: plain JSON. */
  save(): Record<string, unknown> {
    return {};
  }

  /** Files of its own, put beside the model's. */
  async saveFiles(_storage: Storage, _dir: string): Promise<void> {}

  /** Back to what `save` and `saveFiles` gave. */
  async restore(_state: Record<string, unknown>, _storage: Storage, _dir: string): Promise<void> {}

  /** One step; `lines` are for samples.jsonl. */
  abstract trainStep(): Promise<{ metrics: StepMetrics; lines: SampleLine[] }>;

  /** How good the model is on what is held out. */
  abstract evaluate(): Promise<EvalResult>;

  /** Peak bytes of the run, from the configuration alone. */
  abstract memory(): number;

  /** What the policy says of the sequences now, in one pass over it, and one over the reference where rows of it are read. */
  protected async policy(
    sequences: readonly Sequence[],
    options: { microBatches: number; temperature: number; noise?: NoiseKey },
  ): Promise<Policy> {
    const { recipe, params, session } = this;
    const { microBatches, temperature, noise } = options;
    const pass = { microBatches, temperature, noise };
    if (!recipe.rows) return session.score(sequences, pass);
    const row = new Float64Array(sequences.reduce((n, { ids, from }) => n + ids.length - from, 0));
    const full = this.#completed(sequences);
    const see = (rows: Rows) => row.set(rowNumbers(recipe, params, full(rows)), rows.first);
    return { ...(await session.score(sequences, { ...pass, see, beside: this.#beside })), row };
  }

  /** Adds to rows what the recipe's draws from them take. */
  #completed(sequences: readonly Sequence[]): (rows: Rows) => Rows {
    if (!this.recipe.trains?.tokenDraws) return (rows) => rows;
    const tokens = sequences.flatMap(({ ids, from }) => Array.from(ids).slice(from));
    const key = { seed: this.config.seed, step: this.session.optimizer.steps };
    return (rows) => ({ ...rows, tokens: tokens.slice(rows.first, rows.first + rows.count), key });
  }

  /** The reference's pass, where the recipe reads rows of it. */
  get #beside(): RowOptions["beside"] {
    if (!readsReferenceRows(this.recipe, this.params)) return undefined;
    return (packed, temperature) => this.policyReference.hold(packed, temperature);
  }

  /**
   * One optimiser step on a prepared batch: loss and derivative from what the policy says now, backward, AdamW.
   * @param now scores of the sequences under the weights as they are
   * @param whose what messages call these scores
   * @param options.current further fields as they are now
   * @param options.noise that of the pass which gave `now`
   */
  protected async optimizerStep(
    batch: Batch,
    sequences: readonly Sequence[],
    now: Policy,
    whose: string,
    options: {
      microBatches: number;
      temperature: number;
      sharePrompts?: boolean;
      noise?: NoiseKey;
      current?: Record<string, Float32Array>;
    },
  ): Promise<Stepped & { trained: Scores }> {
    const { session, recipe, params } = this;
    const policy = { logp: now.logp, entropy: now.entropy };
    const replace = { ...options.current, ...(now.row && { row: now.row }) };
    const result = objective(recipe, params, batch, policy, { state: this.state, replace });
    this.state = result.state;
    const { row, logits } = result.gradients;
    const full = this.#completed(sequences);
    const dlogits = row
      ? (rows: Rows) =>
          rowDerivatives(recipe, params, full(rows), row.data.subarray(rows.first, rows.first + rows.count))
      : logits?.data;
    const { current: _, ...pass } = options;
    const trained = await session.forwardBackward(
      sequences,
      { dlogp: result.dlogp, dentropy: result.dentropy, dlogits },
      { ...pass, beside: this.#beside },
    );
    this.assertSame(now.logp, trained.logp, whose);
    return { result, trained, ...(await session.optimStep(this.optimizerSteps)) };
  }

  /** ρ ≡ 1 on policy is not hoped for, it is asserted: in bits, at every step. */
  protected assertSame(want: Float32Array, got: Float32Array, whose: string): void {
    const a = new Uint32Array(want.buffer, want.byteOffset, want.length);
    const b = new Uint32Array(got.buffer, got.byteOffset, got.length);
    for (let i = 0; i < a.length; i++) {
      if (a[i] === b[i]) continue;
      // Fast kernels keep no bits: shapes choose tiles, tiles choose the order of sums.
      if (this.config.precision === "fast" && Math.abs(want[i] - got[i]) < FAST_TOLERANCE * (1 + Math.abs(want[i])))
        continue;
      const what = Number.isFinite(got[i]) ? "differs from" : "is not finite beside";
      throw new CohortError(
        Number.isFinite(got[i]) ? "not-exact" : "not-finite",
        `step ${this.step + 1}: the trainer's log-probability of token ${i} (${got[i]}) ${what} ${whose} (${want[i]})`,
        Number.isFinite(got[i])
          ? "this device breaks the exactness rules: run `cohort doctor`, or use --backend wasm"
          : "lower the learning rate, or use precision 24",
      );
    }
  }

  close(): void {
    this.session.close();
    this.policyReference.close();
  }
}

/** How far, relative above 1 nat, log-probabilities of two passes may lie apart under `precision: "fast"` (f16 operands). */
const FAST_TOLERANCE = 0.05;
