/**
 * @file The sampler's filters on a row of logits, in plain numbers.
 */
import { exp } from "./scalar.ts";

/** Each may be null: off. */
export interface SamplingFilters {
  temperature: number | null;
  /** Keep the k largest logits, ties with the last included; 0: off. */
  topK: number | null;
  /** Keep the likeliest up to and including the first at which their sum reaches this; 1: off. */
  topP: number | null;
  /** Keep what has at least this share of the likeliest entry's probability. */
  minP: number | null;
  /** Logits of entries seen before: positive ones divided, negative ones multiplied. */
  repetitionPenalty: number | null;
}

/** Probabilities after repetition penalty, temperature, top-k, top-p, min-p, in this order; each renormalises what is left. */
export function filteredProbabilities(
  logits: readonly number[],
  { temperature, topK, topP, minP, repetitionPenalty }: SamplingFilters,
  seen: readonly number[] = [],
): number[] {
  const repeated = new Set(repetitionPenalty === null ? [] : seen);
  const penalty = repetitionPenalty ?? 1;
  const z = logits.map((x, v) => {
    const penalised = repeated.has(v) ? (x > 0 ? x / penalty : x * penalty) : x;
    return temperature === null ? penalised : penalised / temperature;
  });
  let p = normalised(z.map((x) => exp(x - Math.max(...z))));
  if (topK && topK < z.length) {
    const least = [...z].sort((a, b) => b - a)[topK - 1];
    p = normalised(p.map((x, v) => (z[v] >= least ? x : 0)));
  }
  if (topP !== null && topP < 1) {
    const order = p.map((_, v) => v).sort((a, b) => p[b] - p[a] || a - b);
    const kept = new Set<number>();
    let sum = 0;
    for (const v of order) {
      kept.add(v);
      sum += p[v];
      if (sum >= topP) break;
    }
    p = normalised(p.map((x, v) => (kept.has(v) ? x : 0)));
  }
  if (minP !== null && minP > 0) {
    const least = minP * Math.max(...p);
    p = normalised(p.map((x) => (x >= least ? x : 0)));
  }
  return p;
}

function normalised(weights: readonly number[]): number[] {
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => (sum > 0 ? w / sum : 0));
}
