/**
 * @file Replaying a recorded batch under a recipe: a case in, its outputs out. Pure; the `expected` field is never read.
 */
import { Batch, type Field } from "./batch.ts";
import { CohortError } from "./errors.ts";
import { loadRecipe, objective, prepare, type Recipe, resolveParams } from "./recipe.ts";
import { DIFFERENTIABLE } from "./rl/context.ts";
import type { Level } from "./rl/level.ts";

export interface Case {
  system: string;
  case: string;
  params?: Record<string, unknown>;
  batch?: Record<string, unknown>;
  state?: Record<string, unknown>;
}

export interface Replay {
  system: string;
  case: string;
  outputs: Record<string, unknown>;
}

/**
 * Runs the recipe named by `system` on the case's batch with its params and state.
 *
 * @returns the outputs as JSON holds them: N numbers over trajectories, ragged rows over tokens, rows over the
 *   vocabulary; booleans for `keep` and `keep_token`
 * @throws CohortError "unknown-recipe", "bad-config", "bad-batch", "not-finite"
 */
export async function replay(given: Case): Promise<Replay> {
  if (typeof given !== "object" || given === null || typeof given.system !== "string") {
    throw new CohortError(
      "bad-input",
      "replay: the case names no 'system'",
      "give an object with system, case, params and batch",
    );
  }
  const recipe = await loadRecipe(given.system);
  return { system: given.system, case: given.case, outputs: run(recipe, given) };
}

/** As replay, with the recipe at hand. */
export function run(recipe: Recipe, given: Case): Record<string, unknown> {
  const params = resolveParams(recipe, given.params ?? {});
  const batch = Batch.fromCase(given.batch ?? {}, recipe.fields);
  const hasState = given.state && Object.keys(given.state).length > 0;
  const initial = recipe.state?.init(params);
  const state = hasState ? { ...initial, ...given.state } : initial;
  const prepared = prepare(recipe, params, batch, state, { metrics: false });
  const outputs: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(prepared.outputs)) outputs[name] = plain(batch, value);
  let after = prepared.state;
  // A policy-gradient step needs log-probabilities: entropies or values alone are there for the advantage.
  const whole = !recipe.option && !recipe.loss;
  const current = [...DIFFERENTIABLE, ...(recipe.differentiate ?? [])].some(
    (name) => prepared.batch.fields.has(name) && !(whole && (name === "entropy" || name === "value")),
  );
  if (current && hasObjective(recipe)) {
    const step = objective(recipe, params, prepared.batch, {}, { state: prepared.state, metrics: false });
    outputs["loss"] = step.loss;
    for (const [name, field] of Object.entries(step.gradients)) outputs[`d${name}`] = plain(batch, field);
    for (const [name, value] of Object.entries(step.outputs)) outputs[name] = plain(batch, value);
    after = step.state;
  }
  if (recipe.state) outputs["state"] = after;
  return outputs;
}

const hasObjective = (r: Recipe): boolean =>
  r.option || r.outputs ? Boolean(r.loss ?? r.gate ?? r.kl ?? r.entropy ?? r.aux ?? r.aggregate) : true;

/** A field as nested lists, with nulls and booleans where they belong. */
function plain(batch: Batch, value: unknown): unknown {
  if (typeof value !== "object" || value === null || !("level" in value) || !("data" in value)) return value;
  const { level, data, present, flags } = value as Field & { present?: Float64Array; flags?: boolean };
  const nested = batch.nest(level as Level, data);
  if (flags) return deepMap(nested, (x) => x !== 0);
  if (!present) return nested;
  return (nested as unknown[]).map((x, i) => (present[i] === 0 ? null : x));
}

function deepMap(x: unknown, f: (leaf: unknown) => unknown): unknown {
  return Array.isArray(x) ? x.map((y) => deepMap(y, f)) : f(x);
}
