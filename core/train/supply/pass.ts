/** @file A second forward pass over the rollouts, under another temperature, or whole rows over the vocabulary. */
import { exp } from "../../rl/scalar.ts";
import { type Means, type Step, sequenceOf } from "../trajectories.ts";
import { once, probes, type Supply } from "./types.ts";

/** Log-probabilities of the step's tokens with the logits divided by `factor` once more than at sampling. */
const logpAt = (step: Step, { config, microBatches, session }: Means, factor: number): Promise<number[][]> =>
  once(step, `temperature ${factor}`, async () => {
    const temperature = factor * (config.temperature || 1);
    const { logp, offsets } = await session.score(step.trajectories.map(sequenceOf), { microBatches, temperature });
    return step.trajectories.map((_, k) => [...logp.subarray(offsets[k], offsets[k + 1])]);
  });

export const logpAtTemperature: Supply = {
  is: "log-probabilities at the sampler's output `temperature`",
  field: (step, means) => logpAt(step, means, (step.planned.temperature as number | undefined) ?? 1),
  probe: () => probes.token().map((row) => row.map(() => -1)),
};

/**
 * Σ_v π_v² of each token's distribution, without a row over the vocabulary: with z the logits over the temperature and y the
 * drawn token, lp = z_y − lse(z) and at half the temperature lp' = 2z_y − lse(2z), so Σπ² = e^(lse(2z) − 2lse(z)) = e^(2lp − lp').
 */
export const collision: Supply = {
  is: "the sum of the squared probabilities of each token's distribution",
  field: async (step, means) => {
    const sharp = await logpAt(step, means, 0.5);
    return step.trajectories.map((t, i) => sharp[i].map((lp, k) => Math.min(1, exp(2 * t.logp[k] - lp))));
  },
  probe: () => probes.token().map((row) => row.map(() => 0.5)),
};

export const logits: Supply = {
  is: "the policy's logits over the temperature, a row over the vocabulary for each token",
  logits: true,
  numbers: ({ vocabSize }) => vocabSize,
  probe: () => probes.token().map((tokens) => tokens.map(() => [0, 0.5, -0.5, 1])),
};
