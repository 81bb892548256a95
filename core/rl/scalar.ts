/**
 * @file Elementary functions on single numbers, for samplers, controllers and state: the same bits on every host
 * (`Math.exp` and its like differ between JavaScript engines).
 */
import { engine } from "./engine.ts";

/** e^x, x clamped to ±300. */
export const exp = (x: number): number => engine().kernels.exp(x);
/** ln x; anything below the smallest normal number counts as that. */
export const log = (x: number): number => engine().kernels.log(x);
/** x^y for x ≥ 0; 0^0 = 1. */
export const pow = (x: number, y: number): number => engine().kernels.power(x, y);
export const tanh = (x: number): number => engine().kernels.tanh(x);
export const cos = (x: number): number => engine().kernels.cos(x);
export const sin = (x: number): number => engine().kernels.sin(x);
export const sigmoid = (x: number): number => 1 / (1 + engine().kernels.exp(-x));
/** ln σ(x). */
export const logSigmoid = (x: number): number => engine().kernels.logSigmoid(x);
/** ln Γ(x), x > 0. */
export const logGamma = (x: number): number => engine().kernels.logGamma(x);
/** ψ(x), x > 0. */
export const digamma = (x: number): number => engine().kernels.digamma(x);

/** The nearest whole number, halves to the even one (as Python's round). */
export function roundHalfEven(x: number): number {
  const below = Math.floor(x);
  const part = x - below;
  if (part !== 0.5) return part < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}
