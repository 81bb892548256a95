/**
 * @file The policy-optimisation core: float64 vectors over levels, in a memory of its own.
 */
export { run, fill, settle, firstFault } from "./rl/run";
export { recur, shift, gather, scatterAdd, order, running } from "./rl/whole";
export { exp, log, power, logGamma, digamma, logSigmoid } from "./rl/elementary";

export function tanh(x: f64): f64 {
  return Math.tanh(x);
}
export function cos(x: f64): f64 {
  return Math.cos(x);
}
export function sin(x: f64): f64 {
  return Math.sin(x);
}
/** First byte of memory that the module does not use itself. */
export function heapBase(): usize {
  return __heap_base;
}
