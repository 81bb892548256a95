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

/** What the WASM core computes for every backend, once, to be uploaded: tables and first weights. */
export interface Numeric extends HostMath {
  /** cos and sin of position × frequency for position < rows, each [rows, frequencies]; f64, rounded once. */
  ropeTable(frequencies: Float64Array, rows: number): { cos: Float32Array; sin: Float32Array };
  /** n normals of deviation `std` from Philox key and counter (the first counter word counts blocks). */
  normals(
    n: number,
    std: number,
    key: readonly [number, number],
    counter: readonly [number, number, number],
  ): Float32Array;
}
