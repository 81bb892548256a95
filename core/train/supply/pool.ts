/** @file What is known of prompts that come back. */
import { betaDraw } from "../../draws.ts";
import { Stream, streams } from "../../rng.ts";
import type { History } from "../pool.ts";
import { type Means, ofPrompt, type Step } from "../trajectories.ts";
import { answerSurprise } from "./demonstration.ts";
import { groupsOf, probes, type Supply } from "./types.ts";

const indices = (step: Step): number[] => groupsOf(step).map((p) => step.prompts[p].index);

/** A supply over a list of prompts: of those that the sampler is asked about, then of the batch's groups. */
const ofAsked = (supply: Omit<Supply, "field" | "ask" | "pool">, of: (q: number, means: Means) => unknown): Supply => ({
  ...supply,
  pool: true,
  ask: (prompts, means) => prompts.map((q) => of(q, means)),
  field: (step, means) => indices(step).map((q) => of(q, means)),
});

/** A supply over the whole pool, whatever is asked. */
const ofPool = (supply: Omit<Supply, "field" | "ask" | "pool">, of: (means: Means) => unknown): Supply => ({
  ...supply,
  pool: true,
  ask: (_, means) => of(means),
  field: (_, means) => of(means),
});

const last = ({ responses = [] }: History) => responses.at(-1);
const responsesOf = (means: Means) => means.pool!.history.map(({ responses = [] }) => responses);
const norms = (right: number) => (q: number, means: Means) =>
  (means.pool!.history[q].responses ?? []).filter((r) => r.right === right).map((r) => r.gradNorm ?? 0);

export const prompt: Supply = {
  is: "the index of each rollout's prompt, the same at every step",
  pool: true,
  ask: (prompts) => prompts,
  field: (step) => step.trajectories.map((t) => step.prompts[t.prompt].index),
  probe: probes.trajectory,
};

export const promptStats = /* @__PURE__ */ ofAsked(
  {
    is: "what was seen of each prompt: success rate of the last rollouts, and counts of all",
    probe: () => [0, 1].map(() => ({ success_rate: 0.5, count: 2, accepted: 1, all: 2 })),
  },
  (q, { pool }) => {
    const { seen, right } = pool!.history[q];
    return { success_rate: pool!.rate(q), count: seen, accepted: right, all: seen };
  },
);

export const category = /* @__PURE__ */ ofAsked(
  {
    is: "the category of each prompt: the column `category`, else its quarter by difficulty",
    start: async (means) => {
      means.pool!.categories = await categoriesOf(means);
    },
    probe: () => [0, 1],
  },
  (q, { pool }) => pool!.categories?.[q] ?? 0,
);

/** By name where every row has one; else quarters by how unlikely the first policy finds the right answer, or by length. */
async function categoriesOf(means: Means): Promise<number[]> {
  const { prompts } = means.pool!;
  if (prompts.every(({ row }) => row.category !== undefined)) {
    const names = [...new Set(prompts.map(({ row }) => String(row.category)))].sort();
    return prompts.map(({ row }) => names.indexOf(String(row.category)));
  }
  const hardness = (await answerSurprise(means, prompts)) ?? prompts.map(({ ids }) => ids.length);
  const order = prompts.map((_, q) => q).sort((a, b) => hardness[a] - hardness[b] || a - b);
  const categories = new Array<number>(prompts.length);
  order.forEach((q, rank) => {
    categories[q] = Math.floor((QUARTERS * rank) / prompts.length);
  });
  return categories;
}
const QUARTERS = 4;

export const thompsonDraws = /* @__PURE__ */ ofPool(
  {
    is: "draws from Beta(alpha + prior, beta + prior) of every prompt, the counts being those of the recipe's state",
    probe: () => [0.5, 0.25],
  },
  ({ config, params, pool, state, step }) => {
    const counts = (name: string, q: number) => ((state[name] as number[] | undefined) ?? [])[q] ?? 0;
    const [a, b] = (params.prior as readonly number[] | undefined) ?? [1, 1];
    return pool!.prompts.map((_, q) =>
      betaDraw(new Stream(config.seed, streams.pool, 2, step, q), counts("alpha", q) + a, counts("beta", q) + b),
    );
  },
);

export const poolSuccesses: Supply = {
  is: "right rollouts of each prompt of this step, by its index",
  pool: true,
  ask: () => ({}),
  field: (step) => {
    const right: Record<string, number> = {};
    for (const t of step.trajectories) {
      const q = String(step.prompts[t.prompt].index);
      right[q] = (right[q] ?? 0) + Number(t.right);
    }
    return right;
  },
  probe: () => ({ 0: 1, 1: 1 }),
};

export const poolCorrect = /* @__PURE__ */ ofPool(
  {
    is: "whether the last rollouts of every prompt of the pool were right",
    keeps: "responses",
    probe: () => [
      [1, 0],
      [0, 1],
    ],
  },
  (means) => responsesOf(means).map((list) => list.map((r) => r.right)),
);

export const poolTokens = /* @__PURE__ */ ofPool(
  {
    is: "the tokens of the last rollouts of every prompt of the pool",
    keeps: "responses",
    probe: () => [
      [[1, 2], [3]],
      [[1], [2]],
    ],
  },
  (means) => responsesOf(means).map((list) => list.map((r) => r.ids)),
);

export const poolGradientsRight = /* @__PURE__ */ ofAsked(
  {
    is: "gradient norms of the right ones of each prompt's last rollouts",
    keeps: "gradients",
    probe: () => [[1], [1]],
  },
  norms(1),
);

export const poolGradientsWrong = /* @__PURE__ */ ofAsked(
  {
    is: "gradient norms of the wrong ones of each prompt's last rollouts",
    keeps: "gradients",
    probe: () => [[1], [1]],
  },
  norms(0),
);

export const storedLogp = /* @__PURE__ */ ofPool(
  {
    is: "log-probabilities of the last response of each prompt, when it was drawn",
    keeps: "responses",
    probe: () => [[-1], [-1]],
  },
  (means) => means.pool!.history.map((h) => last(h)?.logp ?? []),
);

/** Under the policy as it is, of this step's prompts; the others' are as stored: nothing asks how far those have moved. */
export const storedLogpNow: Supply = {
  is: "log-probabilities of the same responses under the present policy",
  pool: true,
  keeps: "responses",
  ask: (_, { pool }) => pool!.history.map((h) => last(h)?.logp ?? []),
  field: async (step, { config, microBatches, pool, session }) => {
    const now = pool!.history.map((h) => [...(last(h)?.logp ?? [])]);
    const asked = indices(step).filter((q) => last(pool!.history[q]));
    if (asked.length === 0) return now;
    const sequences = asked.map((q) => {
      const { ids } = pool!.prompts[q];
      return { ids: [...ids, ...last(pool!.history[q])!.ids], from: ids.length };
    });
    const { logp, offsets } = await session.score(sequences, { microBatches, temperature: config.temperature });
    asked.forEach((q, k) => {
      now[q] = [...logp.subarray(offsets[k], offsets[k + 1])];
    });
    return now;
  },
  probe: () => [[-1], [-1]],
};

/** Quarters of the present success rate; a prompt that was not seen yet has a bin of its own. */
const binOf = (q: number, { pool }: Means): string =>
  pool!.history[q].seen === 0 ? "new" : String(Math.floor(QUARTERS * pool!.rate(q)));

export const difficultyBin = /* @__PURE__ */ ofAsked(
  { is: "the bin of each prompt by its present success rate", probe: () => ["0", "1"] },
  binOf,
);

const sizes = (prompts: readonly number[], means: Means): Record<string, number> => {
  const count: Record<string, number> = {};
  for (const q of prompts) count[binOf(q, means)] = (count[binOf(q, means)] ?? 0) + 1;
  return count;
};

export const binSizes: Supply = {
  is: "how many prompts of the step each bin has",
  pool: true,
  ask: sizes,
  field: (step, means) => sizes(indices(step), means),
  probe: () => ({ 0: 1, 1: 1 }),
};

export const failure: Supply = {
  is: "the share of wrong rollouts of each prompt",
  ask: (prompts) => prompts.map(() => 0),
  field: (step) =>
    groupsOf(step).map((p) => {
      const own = ofPrompt(step, p);
      return own.filter((t) => !t.right).length / own.length;
    }),
  probe: () => [0.5, 0.25],
};
