/**
 * @file A policy without a network: logits in a table, exact gradients. Recipes see the batch that a transformer would give
 * them; a run takes milliseconds, and success rates are computed and not sampled.
 */
import { Batch } from "../../batch.ts";
import { objective, type Prepared, prepare, type Recipe, resolveParams, type State } from "../../recipe.ts";
import { exp, log } from "../../rl/scalar.ts";
import { Stream, streams } from "../../rng.ts";

export interface Rollout {
  prompt: number;
  tokens: number[];
  /** of each token, nats, when it was drawn */
  logp: number[];
  /** of each token's distribution, nats */
  entropy: number[];
}

export interface Shape {
  prompts: number;
  /** V */
  vocabulary: number;
  /** longest answer, in tokens; 1 where answers are single tokens */
  positions?: number;
  /** tokens that end an answer earlier */
  stop?: readonly number[];
  /** Table rows whose sum is the logits after `before` tokens; default: one a prompt and position. */
  features?(prompt: number, before: readonly number[]): readonly number[];
  /** rows of the table, where `features` is given */
  rows?: number;
}

export class Tabular {
  readonly shape: Shape;
  readonly positions: number;
  /** rows × V */
  readonly logits: Float64Array;

  constructor(shape: Shape, logits?: Float64Array) {
    this.shape = shape;
    this.positions = shape.positions ?? 1;
    this.logits = logits ?? new Float64Array((shape.rows ?? shape.prompts * this.positions) * shape.vocabulary);
  }

  copy(): Tabular {
    return new Tabular(this.shape, this.logits.slice());
  }

  #features(prompt: number, before: readonly number[]): readonly number[] {
    return this.shape.features?.(prompt, before) ?? [prompt * this.positions + before.length];
  }

  /** Log-probabilities (V) of the next token. */
  next(prompt: number, before: readonly number[], temperature = 1): Float64Array {
    const V = this.shape.vocabulary;
    const z = new Float64Array(V);
    for (const row of this.#features(prompt, before)) {
      for (let v = 0; v < V; v++) z[v] += this.logits[row * V + v] / temperature;
    }
    let most = z[0];
    for (let v = 1; v < V; v++) if (z[v] > most) most = z[v];
    let sum = 0;
    for (let v = 0; v < V; v++) sum += exp(z[v] - most);
    const norm = most + log(sum);
    for (let v = 0; v < V; v++) z[v] -= norm;
    return z;
  }

  rollout(prompt: number, random: Stream): Rollout {
    const made: Rollout = { prompt, tokens: [], logp: [], entropy: [] };
    while (made.tokens.length < this.positions) {
      const logp = this.next(prompt, made.tokens);
      let left = random.uniform();
      let token = 0;
      for (; token < logp.length - 1; token++) {
        left -= exp(logp[token]);
        if (left < 0) break;
      }
      made.logp.push(logp[token]);
      made.entropy.push(entropyOf(logp));
      made.tokens.push(token);
      if (this.shape.stop?.includes(token)) break;
    }
    return made;
  }

  /** An answer that somebody else wrote, as the policy would score it. */
  score(prompt: number, tokens: readonly number[], temperature = 1): Rollout {
    const made: Rollout = { prompt, tokens: [...tokens], logp: [], entropy: [] };
    tokens.forEach((token, t) => {
      const logp = this.next(prompt, tokens.slice(0, t), temperature);
      made.logp.push(logp[token]);
      made.entropy.push(entropyOf(logp));
    });
    return made;
  }

  /** Probability of exactly these tokens. */
  probability(prompt: number, tokens: readonly number[]): number {
    return exp(this.score(prompt, tokens).logp.reduce((a, b) => a + b, 0));
  }

  /** Probabilities (V) of the answers, where they are single tokens. */
  answers(prompt: number): Float64Array {
    return this.next(prompt, []).map((x) => exp(x));
  }

  /**
   * Adds the derivative by the logits to `into`, from those by the tokens' log-probabilities and entropies:
   * ∂lp/∂z_v = [v = token] − π_v, ∂H/∂z_v = −π_v (ln π_v + H).
   */
  backward(
    rollouts: readonly Rollout[],
    dlogp: ArrayLike<number>,
    dentropy: ArrayLike<number> | undefined,
    into: Float64Array,
  ) {
    const V = this.shape.vocabulary;
    let at = 0;
    for (const { prompt, tokens } of rollouts) {
      for (let t = 0; t < tokens.length; t++, at++) {
        const [d, dH] = [dlogp[at], dentropy?.[at] ?? 0];
        if (d === 0 && dH === 0) continue;
        const before = tokens.slice(0, t);
        const logp = this.next(prompt, before);
        const H = dH === 0 ? 0 : entropyOf(logp);
        for (const row of this.#features(prompt, before)) {
          for (let v = 0; v < V; v++) {
            const p = exp(logp[v]);
            into[row * V + v] += d * ((v === tokens[t] ? 1 : 0) - p) - (dH === 0 ? 0 : dH * p * (logp[v] + H));
          }
        }
      }
    }
  }
}

export function entropyOf(logp: Float64Array): number {
  let sum = 0;
  for (let v = 0; v < logp.length; v++) sum -= exp(logp[v]) * logp[v];
  return sum;
}

/** A standard normal number, from twelve uniform ones (exact bits on every host, tails to ±6). */
export function normal(random: Stream): number {
  let sum = -6;
  for (let k = 0; k < 12; k++) sum += random.uniform();
  return sum;
}

/** A stream of random numbers for a demonstration's own draws. */
export const draws = (seed: number, a = 0, b = 0): Stream => new Stream(seed, streams.task, a, b, 77);

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
