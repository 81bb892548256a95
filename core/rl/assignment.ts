/**
 * @file Assigning predictions to references by a table of scores (rows predictions, columns references).
 */
import { exp } from "./scalar.ts";

/** One to one, the highest positive scores first (ties: the lower row, then the lower column); −1 for a row without. */
export function greedyMatching(scores: readonly (readonly number[])[]): number[] {
  const cells = scores.flatMap((row, i) => row.map((score, j) => ({ i, j, score }))).filter(({ score }) => score > 0);
  cells.sort((a, b) => b.score - a.score || a.i - b.i || a.j - b.j);
  const match = scores.map(() => -1);
  const taken = new Set<number>();
  for (const { i, j } of cells) {
    if (match[i] >= 0 || taken.has(j)) continue;
    match[i] = j;
    taken.add(j);
  }
  return match;
}

/** Entropic optimal transport between uniform marginals with cost −score (Sinkhorn's iteration, a fixed number of rounds). */
export function sinkhorn(scores: readonly (readonly number[])[], reg: number, rounds = 200): number[][] {
  const [n, m] = [scores.length, scores[0]?.length ?? 0];
  if (m === 0) return scores.map(() => []);
  const top = Math.max(...scores.flat());
  const kernel = scores.map((row) => row.map((s) => exp((s - top) / reg)));
  const u = new Array<number>(n).fill(1);
  const v = new Array<number>(m).fill(1);
  for (let round = 0; round < rounds; round++) {
    kernel.forEach((row, i) => {
      u[i] = 1 / n / row.reduce((sum, k, j) => sum + k * v[j], 0);
    });
    v.forEach((_, j) => {
      v[j] = 1 / m / kernel.reduce((sum, row, i) => sum + row[j] * u[i], 0);
    });
  }
  return kernel.map((row, i) => row.map((k, j) => u[i] * k * v[j]));
}
