/** @file What a critic says of rollouts. */
import type { Means, Step } from "../trajectories.ts";
import { sequenceOf } from "../trajectories.ts";
import { once, probes, type Supply } from "./types.ts";

/** Of each token, trajectory by trajectory. */
const values = (step: Step, { critic, microBatches }: Means): Promise<number[][]> =>
  once(step, "values", async () => {
    const flat = await critic!.values(step.trajectories.map(sequenceOf), { microBatches });
    let at = 0;
    return step.trajectories.map(({ ids }) => {
      at += ids.length;
      return [...flat.subarray(at - ids.length, at)];
    });
  });

export const value: Supply = {
  is: "a critic's value before each token, when the rollouts were drawn",
  critic: true,
  field: values,
  probe: probes.token,
};

export const valueNow: Supply = {
  is: "a critic's value before each token, as it is at each optimiser step",
  critic: true,
  now: true,
  field: values,
  probe: probes.token,
};

export const outcomeReturn: Supply = {
  is: "the return of each token without discount: the rollout's reward",
  field: (step) => step.trajectories.map((t) => t.ids.map(() => t.total)),
  probe: probes.token,
};
