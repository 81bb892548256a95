/**
 * @file The trainer of tabular policies: a recipe's prepare and objective on their rollouts, and gradient descent.
 */
import { Batch } from "../../batch.ts";
import { objective, type Prepared, prepare, type Recipe, resolveParams, type State } from "../../recipe.ts";
import { Stream, streams } from "../../rng.ts";
import type { Rollout, Tabular } from "./tabular.ts";

/** Which prompt, and how many rollouts of it. */
export interface Visit {
  prompt: number;
  rollouts: number;
}

export interface LearnerOptions {
  policy: Tabular;
  recipe: Recipe;
  params?: Record<string, unknown>;
  /** one number, or named ones (their sum is the reward) */
  reward(rollout: Rollout): number | Record<string, number>;
  /** length of a typical step, in logits: gradients are divided by the running root mean square of their norm */
  learningRate: number;
  seed: number;
  epochs?: number;
  /** optimiser steps an epoch; groups stay whole */
  miniBatches?: number;
  /** log-probabilities under this policy become logp_ref */
  reference?: Tabular;
  /** Further fields of the batch, one number a rollout or a token. */
  fields?(
    rollouts: readonly Rollout[],
    reward: Float64Array,
    state: State,
  ): Record<string, ArrayLike<number>> | undefined;
}

/** What a step did. */
export interface Taught {
  rollouts: Rollout[];
  /** group of each rollout: its visit */
  group: number[];
  reward: Float64Array;
  prepared: Prepared;
  /** of each optimiser step: its rollouts and the derivative that reached the policy */
  steps: {
    rollouts: number[];
    dlogp: Float64Array;
    /** of each token when it was drawn, and before this step, nats */
    old: readonly number[];
    logp: Float64Array;
    gradNorm: number;
    outputs: Record<string, unknown>;
  }[];
  metrics: Record<string, number>;
}

/** Of the running mean of squared gradient norms. */
const NORM_DECAY = 0.9;
/** Gradients are cut to this norm first, as by the trainer's default. */
const MAX_NORM = 1;

/**
 * The trainer of tabular policies: prepare, objective, gradient descent. As with Adam, the scale that a recipe gives its
 * loss does not matter: the gradient is divided by the running root mean square of its norm, but by one number for all
 * logits, so that its direction stays.
 */
export class Learner {
  readonly options: LearnerOptions;
  readonly params: Record<string, unknown>;
  readonly policy: Tabular;
  state: State | undefined;
  steps = 0;
  #norms = 0;
  #weight = 0;
  /** Rollouts drawn so far. */
  drawn = 0;

  constructor(options: LearnerOptions) {
    this.options = options;
    this.policy = options.policy;
    this.params = resolveParams(options.recipe, options.params ?? {});
    this.state = options.recipe.state?.init(this.params);
  }

  /** Rollouts of the visits, under the current policy. */
  draw(visits: readonly Visit[]): { rollouts: Rollout[]; group: number[] } {
    const made = this.preview(visits);
    this.drawn += made.rollouts.length;
    return made;
  }

  /** What `draw` will give for these visits, uncounted: a longer visit begins with the same rollouts. */
  preview(visits: readonly Visit[]): { rollouts: Rollout[]; group: number[] } {
    const rollouts: Rollout[] = [];
    const group: number[] = [];
    visits.forEach(({ prompt, rollouts: n }, g) => {
      for (let k = 0; k < n; k++) {
        rollouts.push(this.policy.rollout(prompt, new Stream(this.options.seed, streams.sample, this.steps, g, k)));
        group.push(g);
      }
    });
    return { rollouts, group };
  }

  step(visits: readonly Visit[]): Taught {
    const live = visits.filter((v) => v.rollouts > 0);
    const { rollouts, group } = this.draw(live);
    return this.learn(rollouts, group);
  }

  /** One step on rollouts that are there already. */
  learn(
    rollouts: Rollout[],
    group: number[],
    more: Record<string, ArrayLike<number>> = {},
    raw?: Record<string, unknown>,
  ): Taught {
    const { recipe, reward: score, epochs = 1, miniBatches = 1 } = this.options;
    const scores = rollouts.map((r) => score(r));
    const reward = Float64Array.from(scores, (s) =>
      typeof s === "number" ? s : Object.values(s).reduce((a, b) => a + b, 0),
    );
    const batch = this.#batch(rollouts, group, scores, reward, more, raw);
    const prepared = prepare(recipe, this.params, batch, this.state, { metrics: false });
    this.state = prepared.state;
    const taught: Taught = { rollouts, group, reward, prepared, steps: [], metrics: {} };
    const groups = Math.max(-1, ...group) + 1;
    const size = Math.ceil(groups / miniBatches);
    for (let epoch = 0; epoch < epochs; epoch++) {
      const order = Array.from({ length: groups }, (_, g) => g);
      if (miniBatches > 1) new Stream(this.options.seed, streams.shuffle, this.steps, epoch).shuffle(order);
      for (let m = 0; m * size < groups; m++) {
        const part = order.slice(m * size, (m + 1) * size);
        const chosen = rollouts.map((_, i) => i).filter((i) => part.includes(group[i]));
        this.#optimise(taught, chosen, miniBatches === 1 ? prepared.batch : prepared.batch.select(chosen));
      }
    }
    this.steps++;
    return taught;
  }

  #batch(
    rollouts: readonly Rollout[],
    group: readonly number[],
    scores: readonly (number | Record<string, number>)[],
    reward: Float64Array,
    more: Record<string, ArrayLike<number>>,
    raw: Record<string, unknown> | undefined,
  ) {
    const { fields, reference } = this.options;
    const lengths = rollouts.map((r) => r.tokens.length);
    const flat = (of: (r: Rollout) => readonly number[]) => Float64Array.from(rollouts.flatMap(of));
    const tokens = flat((r) => r.tokens);
    const names = typeof scores[0] === "object" ? Object.keys(scores[0]) : [];
    const rewards = Object.fromEntries(
      names.map((name) => [name, scores.map((s) => (s as Record<string, number>)[name])]),
    );
    const own: Record<string, ArrayLike<number>> = {
      reward,
      mask: new Float64Array(tokens.length).fill(1),
      logp_old: flat((r) => r.logp),
      logp_rollout: flat((r) => r.logp),
      entropy: flat((r) => r.entropy),
      tokens,
      ...(reference && { logp_ref: flat((r) => reference.score(r.prompt, r.tokens).logp) }),
      ...fields?.(rollouts, reward, this.state ?? {}),
      ...more,
    };
    // Batch.from knows no field of one number a group: those go in afterwards.
    const isOfGroups = (name: string) => this.options.recipe.fields?.[name] === "group";
    const all = Object.fromEntries(Object.entries(own).filter(([name]) => !isOfGroups(name)));
    // Answers of single tokens: a count does not tell tokens from trajectories.
    const perRollout = new Set(["prompt", "reward", "advantage", "score", "anchor", "demo", "correct", "truncated"]);
    const shapes = Object.fromEntries(
      Object.keys(all).map((name) => [name, perRollout.has(name) ? ("trajectory" as const) : ("token" as const)]),
    );
    const batch = Batch.from({ lengths, group, fields: all, shapes, raw, ...(names.length > 0 && { rewards }) });
    const ofGroups = Object.entries(own).filter(([name]) => isOfGroups(name));
    return batch.with(
      Object.fromEntries(ofGroups.map(([name, x]) => [name, { level: batch.group, data: Float64Array.from(x) }])),
    );
  }

  #optimise(taught: Taught, chosen: readonly number[], batch: Batch): void {
    const { policy } = this;
    const { recipe, learningRate } = this.options;
    const rollouts = chosen.map((i) => taught.rollouts[i]);
    const now = rollouts.map((r) => policy.score(r.prompt, r.tokens));
    const logp = Float64Array.from(now.flatMap((r) => r.logp));
    const entropy = Float64Array.from(now.flatMap((r) => r.entropy));
    const result = objective(recipe, this.params, batch, { logp, entropy }, { state: this.state });
    this.state = result.state;
    const gradient = new Float64Array(policy.logits.length);
    policy.backward(rollouts, result.dlogp, result.dentropy, gradient);
    let square = 0;
    for (let i = 0; i < gradient.length; i++) square += gradient[i] * gradient[i];
    const gradNorm = Math.sqrt(square);
    const cut = Math.min(1, MAX_NORM / (gradNorm || 1));
    this.#norms = NORM_DECAY * this.#norms + (1 - NORM_DECAY) * square * cut * cut;
    this.#weight = NORM_DECAY * this.#weight + (1 - NORM_DECAY);
    const scale = square === 0 ? 0 : (learningRate * cut) / Math.sqrt(this.#norms / this.#weight);
    for (let i = 0; i < gradient.length; i++) policy.logits[i] -= scale * gradient[i];
    const old = rollouts.flatMap((r) => r.logp);
    taught.steps.push({
      rollouts: [...chosen],
      dlogp: result.dlogp,
      old,
      logp,
      gradNorm,
      outputs: result.outputs,
    });
    taught.metrics = result.metrics;
  }
}

/** Asks a recipe that only decides (samplers, trackers): the JSON fields of a case in, its outputs and state out. */
export function decide(
  recipe: Recipe,
  params: Record<string, unknown>,
  json: Record<string, unknown>,
  state?: State,
): { outputs: Record<string, unknown>; state: State } {
  const prepared = prepare(recipe, resolveParams(recipe, params), Batch.fromCase(json, recipe.fields), state, {
    metrics: false,
  });
  const outputs = Object.fromEntries(
    Object.entries(prepared.outputs).map(([name, value]) => [
      name,
      typeof value === "object" && value !== null && "data" in value ? [...(value.data as Float64Array)] : value,
    ]),
  );
  return { outputs, state: prepared.state };
}
