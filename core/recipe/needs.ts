/**
 * @file Which batch fields a recipe reads.
 */
import { Batch } from "../batch.ts";
import { CohortError } from "../errors.ts";
import { objective } from "./objective.ts";
import type { Params } from "./parameters.ts";
import { prepare } from "./prepare.ts";
import type { Recipe } from "./types.ts";

/**
 * The batch fields that the recipe reads with these parameters, found by running it on a small made-up batch, so that a
 * trainer can refuse before the run starts. Fields that the recipe declares count where the probe does not run through.
 */
export function needs(recipe: Recipe, params: Params, probe: Batch = probeBatch()): string[] {
  const reads = new Set<string>();
  const made = new Set(["advantage", "weight", "keep", "keep_token", "left_out", "reward.present", "reward.given"]);
  // A reference can always be had: its absence from the probe must not hide what is read after it.
  const old = probe.fields.get("logp_old");
  const whole = old && !probe.fields.has("logp_ref") ? probe.with({ logp_ref: old }) : probe;
  try {
    const prepared = prepare(recipe, params, whole, undefined, { reads, metrics: false });
    for (const name of prepared.batch.fields.keys()) if (!whole.fields.has(name)) made.add(name);
    objective(recipe, params, prepared.batch, {}, { reads, metrics: false });
  } catch (error) {
    // A made-up batch may be refused by a recipe with demands of its own: then all that it declares is needed. One that
    // runs through has only optional fields of its own.
    if (!(error instanceof CohortError)) throw error;
    for (const name of Object.keys(recipe.fields ?? {})) reads.add(name);
  }
  return [...reads].filter((name) => !made.has(name) && !name.endsWith(".present")).sort();
}

/** Two prompts with two rollouts each and every standard numeric field: enough for any recipe to show what it reads. */
function probeBatch(): Batch {
  const tokens = 6;
  const ramp = (from: number, step: number): Float64Array =>
    Float64Array.from({ length: tokens }, (_, t) => from + t * step);
  const perToken = {
    mask: ramp(1, 0),
    logp: ramp(-1, -0.1),
    logp_old: ramp(-1.1, -0.08),
    logp_ref: ramp(-1.2, -0.05),
    logp_rollout: ramp(-1.1, -0.08),
    reward_token: ramp(0, 0.1),
    entropy: ramp(1, 0.1),
    value: ramp(0.5, 0.05),
    value_old: ramp(0.5, 0.04),
    turn: Float64Array.of(0, 1, 0, 0, 1, 0),
    tokens: ramp(1, 1),
  };
  const shapes = Object.fromEntries(Object.keys(perToken).map((name) => [name, "token" as const]));
  return Batch.from({
    lengths: [2, 1, 2, 1],
    group: [0, 0, 1, 1],
    fields: {
      ...perToken,
      reward: [1, 0, 1, 0],
      correct: [1, 0, 1, 0],
      truncated: [0, 0, 0, 1],
      difficulty: [0.5, 0.5, 1, 1],
    },
    shapes,
    rewards: { first: [1, 0, 1, 0] },
    raw: {
      pairs: [
        [0, 1],
        [2, 3],
      ],
      prompt_stats: [
        [2, 1],
        [2, 1],
      ],
    },
  });
}
