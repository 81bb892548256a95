/**
 * @file Log-probabilities in, loss and derivative out: the slots that run once per optimiser step.
 */
import type { Batch, Field } from "../batch.ts";
import { CohortError } from "../errors.ts";
import { Context, type ContextOptions, DIFFERENTIABLE } from "../rl/context.ts";
import { gradients } from "../rl/grad.ts";
import { ALL } from "../rl/level.ts";
import { tokenRatio } from "../rl/ratio.ts";
import type { Vec } from "../rl/vec.ts";
import { slotsOf } from "./defaults.ts";
import { policyMetrics } from "./metrics.ts";
import type { Params } from "./parameters.ts";
import { collect, finite, finiteLists, readable, vectorsOf } from "./results.ts";
import type { Recipe, Slots, State } from "./types.ts";

export interface Objective {
  loss: number;
  /** ∂loss/∂lp, one number a token (T). */
  dlogp: Float64Array;
  dentropy?: Float64Array;
  dvalue?: Float64Array;
  /** ∂loss/∂field for every differentiable field that the loss reads, `logp` included. */
  gradients: Record<string, Field>;
  outputs: Record<string, unknown>;
  metrics: Record<string, number>;
  state: State;
}

/** Current-policy numbers over the tokens of the batch (nats); those absent are taken from the batch's fields. */
export interface PolicyValues {
  logp?: ArrayLike<number>;
  entropy?: ArrayLike<number>;
  value?: ArrayLike<number>;
  logp_ref?: ArrayLike<number>;
}

export interface ObjectiveOptions extends ContextOptions {
  /** Replaces other fields (see Objective.gradients), for finite differences. */
  replace?: Record<string, ArrayLike<number>>;
  /** Arrays of the caller, one number an element, that derivatives by the fields so named are put into: `{ logp: dlogp }`. */
  into?: Record<string, Float64Array>;
}

/**
 * Loss and derivative of one optimiser step, over all its trajectories: denominators are those of this batch. What comes
 * after (micro-batches) only reads dlogp.
 *
 * @param batch Prepared.batch, or a selection of it
 * @throws CohortError "bad-batch" where the batch lacks a field; "not-finite" naming the trajectory and token
 */
export function objective(
  recipe: Recipe,
  params: Params,
  batch: Batch,
  policy: PolicyValues = {},
  options: ObjectiveOptions = {},
): Objective {
  const slots = slotsOf(recipe);
  const more: Record<string, Field> = {};
  for (const [name, data] of Object.entries({ ...policy, ...options.replace })) {
    if (data === undefined) continue;
    const level = batch.fields.get(name)?.level ?? batch.token;
    if (data.length !== level.size) {
      throw new CohortError(
        "bad-batch",
        `objective: '${name}' has ${data.length} numbers for the ${level.size} of '${level.name}'`,
        "give one number an element",
      );
    }
    more[name] = { level, data: data instanceof Float64Array ? data : new Float64Array(data) };
  }
  const differentiate = [...DIFFERENTIABLE, ...(recipe.differentiate ?? [])];
  const state = options.state ?? recipe.state?.init(params) ?? {};
  const c = new Context(batch.with(more), { ...options, state, differentiate });
  try {
    const loss = readable(`objective: recipe '${recipe.id}'`, c, () => buildLoss(c, slots, params));
    policyMetrics(c);
    const names = differentiate.filter((name) => c.reads.has(name) && c.has(name));
    const derivatives = gradients(
      loss,
      names.map((name) => c.field(name)),
    );
    const outputs: Record<string, unknown> = {};
    const metrics: Record<string, number> = {};
    c.graph.compute([loss, ...derivatives, ...c.metrics.values(), ...vectorsOf(c)]);
    finite(`objective: the loss of recipe '${recipe.id}'`, loss);
    const grads: Record<string, Field> = {};
    names.forEach((name, k) => {
      const { level } = c.field(name);
      finite(`objective: d${name} of recipe '${recipe.id}'`, derivatives[k], level === c.token ? c.batch : undefined);
      grads[name] = { level, data: derivatives[k].read(options.into?.[name]) };
    });
    collect(c, outputs, metrics);
    const after = finiteLists(`the state of recipe '${recipe.id}'`, recipe.state?.step?.(c, params) ?? state);
    return {
      loss: loss.value(),
      dlogp: grads["logp"]?.data ?? new Float64Array(c.token.size),
      dentropy: grads["entropy"]?.data,
      dvalue: grads["value"]?.data,
      gradients: grads,
      outputs,
      metrics,
      state: after,
    };
  } finally {
    if (options.reads) for (const name of c.reads) options.reads.add(name);
    c.close();
  }
}

function buildLoss(c: Context, slots: Slots, p: Params): Vec {
  if (slots.rows && !c.has("row")) c.define("row", slots.rows(c, p));
  if (slots.loss) return slots.loss(c, p);
  let perToken: Vec | undefined;
  const whole: Vec[] = [];
  const plus = (term: Vec): void => {
    if (term.level === ALL) whole.push(term);
    else perToken = perToken ? perToken.add(term) : term;
  };
  if (slots.gate) {
    const ratio = slots.ratio ? slots.ratio(c, p) : tokenRatio(c);
    const policy = slots.gate(c, ratio, p);
    plus(slots.weight && c.has("weight") ? policy.mul(c.field("weight")) : policy);
  }
  // An aggregation on its own works on token losses that the batch brings.
  if (!slots.gate && c.has("loss_token")) plus(c.field("loss_token"));
  if (slots.kl) plus(slots.kl(c, p));
  if (slots.entropy) plus(slots.entropy(c, p).neg());
  let loss = perToken ? slots.aggregate!(c, perToken, p) : c.number(0);
  for (const term of whole) loss = loss.add(term);
  return slots.aux ? loss.add(slots.aux(c, p)) : loss;
}
