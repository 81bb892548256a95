/**
 * @file Rewards in, advantages out: the slots that run once per rollout batch.
 */
import type { Batch, Field } from "../batch.ts";
import { CohortError } from "../errors.ts";
import { Context, type ContextOptions } from "../rl/context.ts";
import { ALL } from "../rl/level.ts";
import type { Vec } from "../rl/vec.ts";
import { slotsOf } from "./defaults.ts";
import { rewardMetrics } from "./metrics.ts";
import type { Params } from "./parameters.ts";
import { collect, finite, finiteLists, readable, settled } from "./results.ts";
import type { Recipe, State } from "./types.ts";

export interface Prepared {
  /** The batch with `advantage`, `weight`, `keep`, `keep_token` and shaped `reward` as fields: hand it (or a selection) to objective. */
  batch: Batch;
  /** Over the level the recipe gives it; undefined for recipes without one. */
  advantage?: Float64Array;
  rewardShaped?: Float64Array;
  /** Trajectories (1 or 0). A dropped one stays in the batch and has dlogp 0; a sampler may replace its group. */
  keep?: Float64Array;
  keepToken?: Float64Array;
  weight?: Float64Array;
  /** Every named result: flat numbers with their field, or plain JSON. */
  outputs: Record<string, unknown>;
  metrics: Record<string, number>;
  state: State;
}

/**
 * Rewards in, advantages out: once per rollout batch, before any optimiser step.
 *
 * @param params of resolveParams
 * @param state of the last call (absent: the recipe's initial state)
 * @throws CohortError "bad-batch" where the batch lacks a field, or has null for a reward of a recipe without missing
 *   ones; "not-finite" where a result is not finite
 */
export function prepare(
  recipe: Recipe,
  params: Params,
  batch: Batch,
  state?: State,
  options: ContextOptions = {},
): Prepared {
  const slots = slotsOf(recipe);
  const before = state ?? recipe.state?.init(params) ?? {};
  let current = batch;
  const outputs: Record<string, unknown> = {};
  const metrics: Record<string, number> = {};
  let after: State = before;
  const add = (more: Record<string, Field>): void => {
    current = current.with(more);
  };
  const read = new Set<string>();
  const isGiven = (): boolean => current.fields.get("reward") === batch.fields.get("reward");
  /** Each slot runs in a context of its own, so that it sees what the earlier ones made. */
  const run = <T>(slot: (c: Context) => T, take?: (result: T, c: Context) => void): void => {
    const c = new Context(current, { ...options, state: before });
    try {
      const result = readable(`prepare: recipe '${recipe.id}'`, c, () => slot(c));
      for (const name of c.reads) if (name !== "reward" || isGiven()) read.add(name);
      take?.(result, c);
      for (const [name, vec] of c.carried) store(name, vec);
      collect(c, outputs, metrics);
    } finally {
      if (options.reads) for (const name of c.reads) options.reads.add(name);
      c.close();
    }
  };
  const store = (name: string, vec: Vec): Float64Array => {
    const data = vec.values();
    finite(`prepare: '${name}' of recipe '${recipe.id}'`, vec, vec.level === batch.token ? batch : undefined);
    add({ [name]: { level: vec.level, data } });
    return data;
  };
  const result: Partial<Prepared> = {};
  if (slots.sampler) run((c) => slots.sampler?.(c, params));
  if (slots.reward) {
    run(
      (c) => slots.reward!(c, params),
      (made, c) => {
        const { reward, present } = "present" in made ? made : { reward: made, present: undefined };
        const perToken = reward.level === c.token;
        const given = current.fields.get("reward");
        if (given) add({ "reward.given": given });
        result.rewardShaped = store(perToken ? "reward_token" : "reward", reward);
        const there = present && store("reward.present", present);
        outputs[perToken ? "reward_token" : "reward_shaped"] ??= {
          level: reward.level,
          data: result.rewardShaped,
          present: there,
        };
      },
    );
  }
  const hasReward = ["reward", "reward_token", "rewards"].some((f) => current.fields.has(f) || current.raw.has(f));
  if (recipe.advantage || (slots.advantage && hasReward && !current.fields.has("advantage"))) {
    run(
      (c) => slots.advantage!(c, params),
      (advantage, c) => {
        if (recipe.advantage === undefined || current.fields.has("reward")) rewardMetrics(c);
        result.advantage = store("advantage", advantage);
        outputs["advantage"] ??= { level: advantage.level, data: result.advantage };
      },
    );
  }
  if (slots.filter) {
    run(
      (c) => slots.filter!(c, params),
      ({ keep, keepToken, leftOut }, c) => {
        if (keep) result.keep = store("keep", keep.to(c.trajectory));
        if (keepToken) result.keepToken = store("keep_token", keepToken.to(c.token));
        if (leftOut) add({ left_out: { level: ALL, data: Float64Array.of(1) } });
        if (keep) outputs["keep"] ??= { level: c.trajectory, data: result.keep, flags: true };
        if (keepToken) outputs["keep_token"] ??= { level: c.token, data: result.keepToken, flags: true };
      },
    );
  }
  if (slots.weight) {
    run(
      (c) => slots.weight!(c, params),
      (weight) => {
        result.weight = store("weight", weight);
        outputs["weight"] ??= { level: weight.level, data: result.weight };
      },
    );
  }
  if (slots.outputs) {
    run(
      (c) => slots.outputs?.(c, params),
      (record) => {
        for (const [name, value] of Object.entries(record ?? {}))
          outputs[name] = finiteLists(`output '${name}' of recipe '${recipe.id}'`, settled(value));
      },
    );
  }
  if (recipe.state?.update) {
    run((c) => {
      after = finiteLists(`the state of recipe '${recipe.id}'`, recipe.state!.update!(c, params));
    });
  }
  refuseMissing(recipe, batch, read);
  return { batch: current, ...result, outputs, metrics, state: after };
}

/** A null reward is 0 in the field: a recipe that reads that alone would count a missing one as a bad one. */
function refuseMissing(recipe: Recipe, batch: Batch, read: ReadonlySet<string>): void {
  if (!read.has("reward") || read.has("reward.present")) return;
  const missing = batch.fields.get("reward.present")?.data.indexOf(0) ?? -1;
  if (missing < 0) return;
  throw new CohortError(
    "bad-batch",
    `prepare: recipe '${recipe.id}' knows no missing rewards, and that of trajectory ${missing} is null`,
    "leave that trajectory out of the batch, or give it a number",
  );
}

/**
 * What the sampler decides before there are rollouts: its outputs alone.
 *
 * @param batch one trajectory of no tokens for each prompt that is asked about
 * @param state of the last `prepare` (absent: the recipe's initial state)
 */
export function plan(recipe: Recipe, params: Params, batch: Batch, state?: State): Record<string, unknown> {
  const outputs: Record<string, unknown> = {};
  const c = new Context(batch, { metrics: false, state: state ?? recipe.state?.init(params) ?? {} });
  try {
    readable(`plan: recipe '${recipe.id}'`, c, () => recipe.sampler?.(c, params));
    collect(c, outputs, {});
  } finally {
    c.close();
  }
  return outputs;
}
