/** @file What the output head sees of each token before a step: the last hidden state, and the likeliest next tokens. */
import { type Means, type Step, sequenceOf } from "../trajectories.ts";
import { once, probes, type Supply } from "./types.ts";

/** Of each token, trajectory by trajectory. */
interface Heads {
  /** [C], as the head multiplies it */
  hidden: number[][][];
  /** The k likeliest tokens, likeliest first, equal ones by id. */
  ids: number[][][];
  /** Their logits over the temperature. */
  logits: number[][][];
  /** The token's place among them; null: it is not there. */
  place: (number | null)[][];
}

/** The recipe's parameter, where it has one. */
const TOP = 50;

/** One pass over the rollouts; of each chunk of rows over the vocabulary the top alone is kept. */
const heads = (step: Step, { config, microBatches, params, session }: Means): Promise<Heads> =>
  once(step, "heads", async () => {
    const k = Math.min((params.top_k as number | undefined) ?? TOP, session.model.config.vocabSize);
    const hidden: number[][] = [];
    const ids: number[][] = [];
    const logits: number[][] = [];
    await session.score(step.trajectories.map(sequenceOf), {
      microBatches,
      temperature: config.temperature || 1,
      see: async ({ count, logits: all }, read) => {
        const states = await read();
        const [V, C] = [all.length / count, states.length / count];
        for (let r = 0; r < count; r++) {
          const row = all.subarray(r * V, (r + 1) * V);
          const top = largest(row, k);
          ids.push(top);
          logits.push(top.map((v) => row[v]));
          hidden.push(Array.from(states.subarray(r * C, (r + 1) * C)));
        }
      },
    });
    const byTrajectory = <T>(of: readonly T[]): T[][] => {
      let at = 0;
      return step.trajectories.map((t) => {
        at += t.ids.length;
        return of.slice(at - t.ids.length, at);
      });
    };
    const placed = byTrajectory(ids);
    const place = step.trajectories.map((t, i) =>
      t.ids.map((id, s) => {
        const found = placed[i][s].indexOf(id);
        return found < 0 ? null : found;
      }),
    );
    return { hidden: byTrajectory(hidden), ids: placed, logits: byTrajectory(logits), place };
  });

/** Indices of the k largest numbers, largest first; of equal ones the first. */
export function largest(row: ArrayLike<number>, k: number): number[] {
  const top: number[] = [];
  for (let v = 0; v < row.length; v++) {
    if (top.length === k && row[v] <= row[top[k - 1]]) continue;
    let to = top.length;
    while (to > 0 && row[top[to - 1]] < row[v]) to--;
    top.splice(to, 0, v);
    if (top.length > k) top.pop();
  }
  return top;
}

const made = <T>(value: T) => probes.token().map((row) => row.map(() => value));

export const lastHidden: Supply = {
  is: "the hidden state that the output head reads for each token",
  numbers: ({ hiddenSize }) => hiddenSize,
  field: async (step, means) => (await heads(step, means)).hidden,
  probe: () => made([1, -1]),
};

export const topIds: Supply = {
  is: "the likeliest tokens at each token's place, as many as the parameter `top_k` says",
  field: async (step, means) => (await heads(step, means)).ids,
  probe: () => made([0, 1]),
};

export const topLogits: Supply = {
  is: "the logits over the temperature of the likeliest tokens",
  field: async (step, means) => (await heads(step, means)).logits,
  probe: () => made([1, 0]),
};

export const topPlace: Supply = {
  is: "each token's place among the likeliest ones, null where it is not there",
  field: async (step, means) => (await heads(step, means)).place,
  probe: () => made(0),
};

export const schedule: Supply = {
  is: "the share of the peak learning rate that the next optimiser step has",
  field: (_step, { config, learningRate }) => (config.learningRate > 0 ? learningRate / config.learningRate : 1),
  probe: () => 1,
};
