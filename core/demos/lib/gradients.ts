/** @file What gradients of tabular policies look like: their variance, their angles, the roughness of a curve. */
import { mean, standardDeviation } from "../../statistics.ts";
import { Learner, type LearnerOptions, type Visit } from "./learner.ts";
import type { Rollout, Tabular } from "./tabular.ts";

/** Gradient by the logits of Σ dlogp·lp. */
export function gradientOf(policy: Tabular, rollouts: readonly Rollout[], dlogp: ArrayLike<number>): Float64Array {
  const gradient = new Float64Array(policy.logits.length);
  policy.backward(rollouts, dlogp, undefined, gradient);
  return gradient;
}

/**
 * Variance of the batch gradient at a policy that stays as it is, Σ_j var_j; and relative to Σ_j mean_j², free of the
 * scale that normalisers give it.
 */
export function gradientVariance(
  options: Omit<LearnerOptions, "learningRate">,
  batches: number,
  visits: (k: number, learner: Learner) => readonly Visit[],
): { variance: number; relative: number } {
  const learner = new Learner({ ...options, policy: options.policy.copy(), learningRate: 0 });
  const n = learner.policy.logits.length;
  const [sum, squares] = [new Float64Array(n), new Float64Array(n)];
  for (let k = 0; k < batches; k++) {
    const { rollouts, steps } = learner.step(visits(k, learner));
    const gradient = gradientOf(learner.policy, rollouts, steps[0].dlogp);
    for (let j = 0; j < n; j++) {
      sum[j] += gradient[j];
      squares[j] += gradient[j] * gradient[j];
    }
  }
  let [variance, norm] = [0, 0];
  for (let j = 0; j < n; j++) {
    const centre = sum[j] / batches;
    variance += (squares[j] - batches * centre * centre) / (batches - 1);
    // The mean of `batches` noisy gradients is longer than the true one by its own variance.
    norm += centre * centre;
  }
  return { variance, relative: variance / (norm - variance / batches) };
}

/** cos of the angle between two gradients; NaN where one is 0. */
export function cosine(a: Float64Array, b: Float64Array): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (let j = 0; j < a.length; j++) {
    dot += a[j] * b[j];
    aa += a[j] * a[j];
    bb += b[j] * b[j];
  }
  return dot / Math.sqrt(aa * bb);
}

/** Standard deviation of the second differences of a curve. */
export const roughness = (curve: readonly number[]): number =>
  standardDeviation(curve.slice(2).map((y, k) => y - 2 * curve[k + 1] + curve[k]));

/** Standard deviation over mean. */
export const variation = (x: readonly number[]): number => standardDeviation(x) / (mean(x) ?? Number.NaN);
