/**
 * @file A policy without a network: logits in a table, exact gradients. Recipes see the batch that a transformer would give
 * them; a run takes milliseconds, and success rates are computed and not sampled.
 */
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

export { normal } from "../../draws.ts";

/** A stream of random numbers for a demonstration's own draws. */
export const draws = (seed: number, a = 0, b = 0): Stream => new Stream(seed, streams.task, a, b, 77);
