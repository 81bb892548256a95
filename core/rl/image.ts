/**
 * @file Similarity of two grey pictures (rows of values 0 … 255, of equal size), for rewards of what a program draws.
 */
import { CohortError } from "../errors.ts";

export type Grey = readonly (readonly number[])[];

/** Average and three differences of each 2×2 block; an odd last row or column is cut. */
function bands(image: Grey): number[][] {
  const [rows, columns] = [Math.floor(image.length / 2), Math.floor((image[0]?.length ?? 0) / 2)];
  const out: number[][] = [[], [], [], []];
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const [a, b] = [image[2 * y][2 * x], image[2 * y][2 * x + 1]];
      const [c, d] = [image[2 * y + 1][2 * x], image[2 * y + 1][2 * x + 1]];
      [(a + b + c + d) / 4, (a - c) / 2, (a - b) / 2, (a - d) / 2].forEach((value, k) => {
        out[k].push(value);
      });
    }
  }
  return out;
}

const C1 = 0.01 * 255 * (0.01 * 255);
const C2 = 0.03 * 255 * (0.03 * 255);

/** One structural similarity over a whole band, in [0, 1]: population variances, covariance with divisor n − 1. */
function globalSimilarity(a: readonly number[], b: readonly number[]): number {
  const n = Math.max(1, a.length);
  const mean = (x: readonly number[]): number => x.reduce((sum, v) => sum + v, 0) / n;
  const [ma, mb] = [mean(a), mean(b)];
  const product = (x: readonly number[], mx: number, y: readonly number[], my: number): number =>
    x.reduce((sum, v, k) => sum + (v - mx) * (y[k] - my), 0);
  const [va, vb] = [product(a, ma, a, ma) / n, product(b, mb, b, mb) / n];
  if (Math.sqrt(va) < 1e-6 && Math.sqrt(vb) < 1e-6) return ma === mb ? 1 : 0;
  const covariance = a.length > 1 ? product(a, ma, b, mb) / (a.length - 1) : 0;
  const similarity = ((2 * ma * mb + C1) * (2 * covariance + C2)) / ((ma * ma + mb * mb + C1) * (va + vb + C2));
  return Math.min(1, Math.max(0, similarity));
}

/**
 * Mean similarity of the four bands of a one-level block transform (Table2LaTeX-RL's code; called CW-SSIM there).
 *
 * @throws CohortError "bad-batch" where the sizes differ
 */
export function blockSimilarity(a: Grey, b: Grey): number {
  if (a.length !== b.length || a.some((row, y) => row.length !== b[y].length)) {
    throw new CohortError(
      "bad-batch",
      `blockSimilarity: ${a.length}×${a[0]?.length ?? 0} against ${b.length}×${b[0]?.length ?? 0}`,
      "bring both pictures to one size first",
    );
  }
  const [left, right] = [bands(a), bands(b)];
  return left.reduce((sum, band, k) => sum + globalSimilarity(band, right[k]), 0) / left.length;
}
