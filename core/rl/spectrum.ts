/**
 * @file Eigenvalues and singular values of small dense matrices, for methods that search or precondition.
 */
import { dot, type Matrix } from "./linear.ts";

const transpose = (a: Matrix): number[][] => (a[0] ?? []).map((_, j) => a.map((row) => row[j]));

const product = (a: Matrix, b: Matrix): number[][] => {
  const columns = transpose(b);
  return a.map((row) => columns.map((column) => dot(row, column)));
};

/**
 * Eigenvalues (descending) and eigenvectors (columns of `vectors`) of a symmetric matrix, by cyclic Jacobi rotations.
 * The sign of a vector is not determined.
 */
export function symmetricEigen(matrix: Matrix): { values: number[]; vectors: number[][] } {
  const n = matrix.length;
  const a = matrix.map((row) => [...row]);
  const v: number[][] = a.map((_, i) => a.map((_, j) => (i === j ? 1 : 0)));
  const off = (): number => a.reduce((sum, row, i) => sum + row.reduce((s, x, j) => (i === j ? s : s + x * x), 0), 0);
  const size = a.reduce((sum, row) => sum + row.reduce((s, x) => s + x * x, 0), 0);
  for (let sweep = 0; sweep < 64 && off() > 1e-32 * size; sweep++) {
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        if (a[p][q] === 0) continue;
        const theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const cosine = 1 / Math.sqrt(t * t + 1);
        const sine = t * cosine;
        const turn = (m: number[][], i: number, j: number, k: number, l: number): void => {
          const [x, y] = [m[i][j], m[k][l]];
          m[i][j] = cosine * x - sine * y;
          m[k][l] = sine * x + cosine * y;
        };
        for (let k = 0; k < n; k++) turn(a, k, p, k, q);
        for (let k = 0; k < n; k++) turn(a, p, k, q, k);
        for (let k = 0; k < n; k++) turn(v, k, p, k, q);
      }
    }
  }
  const order = a.map((_, i) => i).sort((i, j) => a[j][j] - a[i][i]);
  return { values: order.map((i) => a[i][i]), vectors: v.map((row) => order.map((i) => row[i])) };
}

/** V f(λ) Vᵀ of a symmetric matrix, f on its eigenvalues (those below 0 count as 0). */
export function symmetricFunction(matrix: Matrix, f: (eigenvalue: number) => number): number[][] {
  const { values, vectors } = symmetricEigen(matrix);
  const scaled = vectors.map((row) => row.map((x, k) => x * f(Math.max(0, values[k]))));
  return product(scaled, transpose(vectors));
}

/** Singular values in descending order, and the matrix with others in their places: U diag(s′) Vᵀ of the thin SVD. */
export function singular(matrix: Matrix): { values: number[]; rebuilt: (values: readonly number[]) => number[][] } {
  const wide = matrix.length <= (matrix[0]?.length ?? 0);
  const side = wide ? matrix : transpose(matrix);
  const { values: squares, vectors } = symmetricEigen(product(side, transpose(side)));
  const values = squares.map((s) => Math.sqrt(Math.max(0, s)));
  const rows = product(transpose(vectors), side);
  const rebuilt = (next: readonly number[]): number[][] => {
    // A singular value of 0 has no direction of its own to be stretched along.
    const scaled = rows.map((row, k) => row.map((x) => (values[k] > 0 ? (x * next[k]) / values[k] : 0)));
    const made = product(vectors, scaled);
    return wide ? made : transpose(made);
  };
  return { values, rebuilt };
}
