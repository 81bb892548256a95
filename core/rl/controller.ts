/**
 * @file Controllers of one number between steps: an Adam step on it, and the scale sinh that keeps a coefficient signed
 * with steps in proportion to its size.
 */
import { exp, log, pow } from "./scalar.ts";

export interface AdamScalar {
  value: number;
  /** First and second moment of the gradient. */
  m: number;
  v: number;
  /** Steps taken. */
  t: number;
}

export const adamScalar = (value: number): AdamScalar => ({ value, m: 0, v: 0, t: 0 });

/** The number after one step of Adam (β 0.9 and 0.999, ε 1e-8) on its gradient. */
export function adamStep({ value, m, v, t }: AdamScalar, gradient: number, learningRate: number): AdamScalar {
  const first = 0.9 * m + 0.1 * gradient;
  const second = 0.999 * v + 0.001 * gradient * gradient;
  const step = t + 1;
  const mean = first / (1 - pow(0.9, step));
  const square = second / (1 - pow(0.999, step));
  return { value: value - (learningRate * mean) / (Math.sqrt(square) + 1e-8), m: first, v: second, t: step };
}

export const sinh = (x: number): number => (exp(x) - exp(-x)) / 2;
/** The x of that sinh. */
export const asinh = (y: number): number => (y < 0 ? -1 : 1) * log(Math.abs(y) + Math.sqrt(y * y + 1));
