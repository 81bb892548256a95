/**
 * @file Small dense matrices as lists of rows, for models on features.
 */
import { CohortError } from "../errors.ts";

export type Matrix = readonly (readonly number[])[];

export const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, x, i) => sum + x * b[i], 0);

/** A·x. */
export const times = (a: Matrix, x: readonly number[]): number[] => a.map((row) => dot(row, x));

/**
 * The inverse, by elimination with the largest pivot first.
 *
 * @throws CohortError "bad-batch" where a pivot is 0
 */
export function inverse(a: Matrix): number[][] {
  const n = a.length;
  const rows = a.map((row, i) => [...row, ...row.map((_, j) => (i === j ? 1 : 0))]);
  for (let k = 0; k < n; k++) {
    let top = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(rows[i][k]) > Math.abs(rows[top][k])) top = i;
    [rows[k], rows[top]] = [rows[top], rows[k]];
    const pivot = rows[k][k];
    if (pivot === 0) {
      throw new CohortError("bad-batch", `inverse: column ${k} of ${n} has no pivot`, "add a multiple of the identity");
    }
    rows[k] = rows[k].map((x) => x / pivot);
    for (let i = 0; i < n; i++) {
      const factor = rows[i][k];
      if (i !== k && factor !== 0) rows[i] = rows[i].map((x, j) => x - factor * rows[k][j]);
    }
  }
  return rows.map((row) => row.slice(n));
}
