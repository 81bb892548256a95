// What the tests of the policy-optimisation core share: a reproducible generator, made-up batches, finite differences.
import { Batch } from "../core/batch.ts";
import { objective, type Params, type PolicyValues, prepare, type Recipe } from "../core/recipe.ts";
import type { Frozen } from "../core/rl/graph.ts";

/** Mulberry32: uniform in [0, 1). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** A batch with every standard field of a rollout: ragged, partly masked, groups of unequal size. */
export function madeUp(seed: number, { groups = 3, longest = 6 } = {}): Batch {
  const next = random(seed);
  const group: number[] = [];
  for (let g = 0; g < groups; g++) for (let k = 0; k < 2 + Math.floor(3 * next()); k++) group.push(g);
  const lengths = group.map(() => 1 + Math.floor(longest * next()));
  const total = lengths.reduce((a, b) => a + b, 0);
  const perToken = (f: () => number) => Float64Array.from({ length: total }, f);
  const old = perToken(() => -0.05 - 2.5 * next());
  const near = (spread: number) => old.map((x) => Math.min(-1e-3, x + spread * (next() - 0.5)));
  return Batch.from({
    lengths,
    group,
    fields: {
      reward: Float64Array.from(group, () => (next() < 0.5 ? 0 : 1)),
      reward_token: perToken(() => next() - 0.4),
      mask: perToken(() => (next() < 0.8 ? 1 : 0)),
      logp: near(0.8),
      logp_old: old,
      logp_ref: near(1.2),
      logp_rollout: near(0.1),
      entropy: perToken(() => 2 * next()),
      value: perToken(() => next()),
      correct: Float64Array.from(group, () => (next() < 0.5 ? 0 : 1)),
    },
    shapes: {
      reward_token: "token",
      mask: "token",
      logp: "token",
      logp_old: "token",
      logp_ref: "token",
      logp_rollout: "token",
      entropy: "token",
      value: "token",
    },
  });
}

/** The batch with the token fields of a rollout that it lacks, so that an advantage's case can be taken to the loss. */
export function completed(batch: Batch, seed: number): Batch {
  const next = random(seed);
  const old = Float64Array.from({ length: batch.token.size }, () => -0.05 - 2.5 * next());
  const field = (data: Float64Array) => ({ level: batch.token, data });
  const near = (spread: number) => field(old.map((x) => Math.min(-1e-3, x + spread * (next() - 0.5))));
  if (batch.fields.has("logp") || batch.vocabulary) return batch;
  return batch.with({ logp: near(0.5), logp_old: field(old), logp_ref: near(1), entropy: field(old.map((x) => -x)) });
}

export interface Checked {
  checked: number;
  skipped: number;
  worst: number;
  where: string;
}

/**
 * Every derivative that the objective gives, against central differences with stopped parts held. Elements within the
 * step of a kink (one-sided slopes differ) are skipped and counted.
 */
export function differences(recipe: Recipe, params: Params, batch: Batch, step = 1e-5): Checked {
  const prepared = prepare(recipe, params, batch, undefined, { metrics: false });
  const recorded: Frozen = { mode: "record", values: [] };
  const base = objective(recipe, params, prepared.batch, {}, { frozen: recorded, metrics: false });
  const result: Checked = { checked: 0, skipped: 0, worst: 0, where: "" };
  for (const [name, { data: derivative }] of Object.entries(base.gradients)) {
    const at = prepared.batch.fields.get(name)!.data;
    const lossAt = (k: number, delta: number): number => {
      const moved = at.slice();
      moved[k] += delta;
      const replaced = { [name]: moved } as PolicyValues;
      const frozen: Frozen = { mode: "replay", values: recorded.values };
      return objective(
        recipe,
        params,
        prepared.batch,
        {},
        { frozen, metrics: false, replace: replaced as Record<string, Float64Array> },
      ).loss;
    };
    for (let k = 0; k < at.length; k++) {
      const up = (lossAt(k, step) - base.loss) / step;
      const down = (base.loss - lossAt(k, -step)) / step;
      const scale = Math.max(1e-2, Math.abs(up), Math.abs(down));
      if (Math.abs(up - down) > 2e-2 * scale && Math.abs(up - down) > 100 * step * scale) {
        result.skipped++;
        continue;
      }
      result.checked++;
      const error = Math.abs((up + down) / 2 - derivative[k]) / Math.max(1, Math.abs(derivative[k]));
      if (error > result.worst) {
        result.worst = error;
        result.where = `d${name}[${k}]: ${derivative[k]}, differences give ${(up + down) / 2}`;
      }
    }
  }
  return result;
}
