/**
 * @file f64 functions that give the same bits in every engine. Math.exp, log, pow, cos and sin do not: engines differ.
 * Implemented by the WASM core (core/wasm/host-math.ts).
 */
export interface HostMath {
  f64_exp(x: number): number;
  f64_log(x: number): number;
  f64_pow(x: number, y: number): number;
  f64_cos(x: number): number;
  f64_sin(x: number): number;
}
