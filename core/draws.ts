/** @file Draws from distributions, on a stream of uniform numbers: the same bits in every engine. */
import { log } from "./rl/scalar.ts";
import type { Stream } from "./rng.ts";

/** A standard normal number, from twelve uniform ones (exact bits on every host, tails to ±6). */
export function normal(random: Stream): number {
  let sum = -6;
  for (let k = 0; k < 12; k++) sum += random.uniform();
  return sum;
}

/** `count` different indices with chances proportional to the weights, one after the other; fewer where fewer are above 0. */
export function weighted(random: Stream, weights: readonly number[], count: number): number[] {
  const left = [...weights];
  const chosen: number[] = [];
  while (chosen.length < Math.min(count, weights.length)) {
    let at = random.uniform() * left.reduce((a, b) => a + b, 0);
    let q = left.findIndex((w) => {
      at -= w;
      return w > 0 && at < 0;
    });
    // Rounding may leave a sliver of the sum beyond the last one.
    if (q < 0) q = left.findLastIndex((w) => w > 0);
    if (q < 0) break;
    chosen.push(q);
    left[q] = 0;
  }
  return chosen;
}

/** A Gamma(shape, 1) number, shape ≥ 1 (Marsaglia and Tsang, "A simple method for generating gamma variables", 2000). */
function gammaDraw(random: Stream, shape: number): number {
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = normal(random);
    const v = (1 + c * x) * (1 + c * x) * (1 + c * x);
    if (v <= 0) continue;
    if (log(1 - random.uniform()) < 0.5 * x * x + d - d * v + d * log(v)) return d * v;
  }
}

/** A Beta(a, b) number, a and b at least 1. */
export function betaDraw(random: Stream, a: number, b: number): number {
  const [x, y] = [gammaDraw(random, a), gammaDraw(random, b)];
  return x / (x + y);
}
