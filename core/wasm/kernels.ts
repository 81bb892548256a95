/** The exports of kernels.wasm. Kernels are reached through `run` alone; their table is core/kernels.ts. */
export { configure, run, workerLoop } from "./parallel";
export { attention_scratch } from "./attention";
export { elementary } from "./elementary";
export { f64_cos, f64_exp, f64_log, f64_pow, f64_sin, normals, philox_fill, rope_table } from "./host-math";
