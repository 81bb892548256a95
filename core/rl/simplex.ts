/**
 * @file Categorical distributions that are themselves the parameters: their score-function gradient and their simplex.
 */
import { exp } from "./scalar.ts";

/** (1−γ)·softmax(η·x) + γ/K: exponential weights that keep exploring. */
export function exploring(x: readonly number[], eta: number, gamma: number): number[] {
  const weight = x.map((v) => exp(eta * (v - Math.max(...x))));
  const total = weight.reduce((a, b) => a + b, 0);
  return weight.map((w) => ((1 - gamma) * w) / total + gamma / x.length);
}

/** clamp(p − v, floor, 1) with v such that the entries sum to 1 (exact; all `floor` where even these sum to more). */
export function projectSimplex(p: readonly number[], floor: number): number[] {
  const at = (v: number): number[] => p.map((x) => Math.min(1, Math.max(floor, x - v)));
  const sum = (v: number): number => at(v).reduce((a, b) => a + b, 0);
  // The sum falls with v and is linear between the places where an entry meets a bound.
  const knots = p.flatMap((x) => [x - 1, x - floor]).sort((a, b) => a - b);
  const k = knots.findIndex((v) => sum(v) <= 1);
  if (k < 0) return p.map(() => floor);
  if (k === 0) return at(knots[0]);
  const [lo, hi] = [sum(knots[k - 1]), sum(knots[k])];
  const part = lo > hi ? (lo - 1) / (lo - hi) : 0;
  return at(knots[k - 1] + part * (knots[k] - knots[k - 1]));
}

/** The rows scaled so that the norm of all is at most `limit` (as torch: the factor is min(1, limit/(norm + 1e-6))). */
export function clipNorm(rows: readonly (readonly number[])[], limit: number): number[][] {
  const norm = Math.sqrt(rows.flat().reduce((sum, x) => sum + x * x, 0));
  const factor = Math.min(1, limit / (norm + 1e-6));
  return rows.map((row) => row.map((x) => x * factor));
}
