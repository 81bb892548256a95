/**
 * @file One generation of CMA-ES (Hansen, arXiv 1604.00772, standard full form), maximising a reward.
 */
import { CohortError } from "../errors.ts";
import { type Matrix, times } from "./linear.ts";
import { exp, log } from "./scalar.ts";
import { symmetricFunction } from "./spectrum.ts";

/** What persists between generations, as plain JSON. */
export interface Evolution {
  mean: number[];
  sigma: number;
  cov: Matrix;
  p_sigma: number[];
  p_c: number[];
  generation: number;
}

export const startEvolution = (mean: readonly number[], sigma: number): Evolution => ({
  mean: [...mean],
  sigma,
  cov: mean.map((_, i) => mean.map((_, j) => (i === j ? 1 : 0))),
  p_sigma: mean.map(() => 0),
  p_c: mean.map(() => 0),
  generation: 0,
});

const norm = (x: readonly number[]): number => Math.sqrt(x.reduce((sum, v) => sum + v * v, 0));

/**
 * y_k = C^½ z_k and the candidates x_k = m + σ y_k.
 *
 * @throws CohortError "bad-batch" where a draw has another dimension than the mean
 */
export function candidates({ mean, sigma, cov }: Evolution, z: Matrix): { steps: number[][]; points: number[][] } {
  const other = z.findIndex((draw) => draw.length !== mean.length);
  if (other >= 0) {
    throw new CohortError(
      "bad-batch",
      `candidates: draw ${other} has ${z[other].length} numbers for a mean of ${mean.length}`,
      "give the state's mean and each draw one number a dimension",
    );
  }
  const root = symmetricFunction(cov, Math.sqrt);
  const steps = z.map((draw) => times(root, draw));
  return { steps, points: steps.map((y) => mean.map((m, i) => m + sigma * y[i])) };
}

/** Indices of the `parents` best candidates (ties: the lower first) and their weights, best first. */
export function parentsOf(reward: readonly number[], parents: number): { selected: number[]; weight: number[] } {
  const order = reward.map((_, k) => k).sort((a, b) => reward[b] - reward[a] || a - b);
  const middle = log((reward.length + 1) / 2);
  const raw = Array.from({ length: Math.min(parents, reward.length) }, (_, i) => middle - log(i + 1));
  const total = raw.reduce((a, b) => a + b, 0);
  return { selected: order.slice(0, raw.length), weight: raw.map((w) => w / total) };
}

/** The state after the generation whose draws were z. */
export function evolve(state: Evolution, z: Matrix, reward: readonly number[], parents: number): Evolution {
  const { mean, sigma, cov, generation } = state;
  const n = mean.length;
  const { steps } = candidates(state, z);
  const { selected, weight } = parentsOf(reward, parents);
  const mu = 1 / weight.reduce((sum, w) => sum + w * w, 0);
  const yw = mean.map((_, i) => selected.reduce((sum, k, rank) => sum + weight[rank] * steps[k][i], 0));
  const cSigma = (mu + 2) / (n + mu + 5);
  const damping = 1 + 2 * Math.max(0, Math.sqrt((mu - 1) / (n + 1)) - 1) + cSigma;
  const cc = (4 + mu / n) / (n + 4 + (2 * mu) / n);
  const c1 = 2 / ((n + 1.3) * (n + 1.3) + mu);
  const cMu = Math.min(1 - c1, (2 * (mu - 2 + 1 / mu)) / ((n + 2) * (n + 2) + mu));
  const chi = Math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n));
  const white = times(
    symmetricFunction(cov, (s) => (s > 0 ? 1 / Math.sqrt(s) : 0)),
    yw,
  );
  const turn = Math.sqrt(cSigma * (2 - cSigma) * mu);
  const p_sigma = state.p_sigma.map((p, i) => (1 - cSigma) * p + turn * white[i]);
  let decay = 1;
  for (let k = 0; k < 2 * (generation + 1); k++) decay *= 1 - cSigma;
  const h = norm(p_sigma) / Math.sqrt(1 - decay) < (1.4 + 2 / (n + 1)) * chi ? 1 : 0;
  const pull = h * Math.sqrt(cc * (2 - cc) * mu);
  const p_c = state.p_c.map((p, i) => (1 - cc) * p + pull * yw[i]);
  const grown = cov.map((row, i) =>
    row.map((x, j) => {
      const rank = selected.reduce((sum, k, r) => sum + weight[r] * steps[k][i] * steps[k][j], 0);
      const path = p_c[i] * p_c[j] + (1 - h) * cc * (2 - cc) * x;
      return (1 - c1 - cMu) * x + c1 * path + cMu * rank;
    }),
  );
  return {
    mean: mean.map((m, i) => m + sigma * yw[i]),
    sigma: sigma * exp((cSigma / damping) * (norm(p_sigma) / chi - 1)),
    cov: grown,
    p_sigma,
    p_c,
    generation: generation + 1,
  };
}
