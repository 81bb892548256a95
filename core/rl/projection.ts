/**
 * @file Projections onto intersections of convex sets (Dykstra's algorithm): the nearest point that meets orderings,
 * a sum of 0 and a bound of the norm.
 */

export interface Ordering {
  /** Pairs [i, j]: x_i + delta ≤ x_j. */
  pairs: readonly (readonly [number, number])[];
  delta: number;
  /** Bound of Σ x². */
  squares: number;
}

/**
 * The point nearest to `start` with Σ x = 0, Σ x² ≤ squares and the given orderings; after `rounds` rounds, or when a round
 * moves nothing by more than 1e-13. Where no point meets all of them, where the rounds end.
 */
export function projectOrdered(
  start: readonly number[],
  { pairs, delta, squares }: Ordering,
  rounds = 20000,
): number[] {
  const n = start.length;
  const x = [...start];
  const shifted = pairs.map(() => 0);
  const outside = new Array<number>(n).fill(0);
  for (let round = 0; round < rounds; round++) {
    const before = [...x];
    let pulled = 0;
    pairs.forEach(([i, j], k) => {
      // The correction of the last round is undone first; it lies along e_i − e_j.
      const excess = x[i] + shifted[k] - (x[j] - shifted[k]) + delta;
      const move = Math.max(0, excess / 2);
      pulled = Math.max(pulled, Math.abs(move - shifted[k]));
      x[i] += shifted[k] - move;
      x[j] += move - shifted[k];
      shifted[k] = move;
    });
    const mean = x.reduce((a, b) => a + b, 0) / Math.max(1, n);
    for (let i = 0; i < n; i++) x[i] -= mean;
    const y = x.map((value, i) => value + outside[i]);
    const norm = y.reduce((sum, value) => sum + value * value, 0);
    const scale = norm > squares ? Math.sqrt(squares / norm) : 1;
    for (let i = 0; i < n; i++) {
      x[i] = y[i] * scale;
      outside[i] = y[i] - x[i];
    }
    const moved = x.reduce((most, value, i) => Math.max(most, Math.abs(value - before[i])), pulled);
    if (moved <= 1e-13) break;
  }
  return x;
}
