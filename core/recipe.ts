/**
 * @file Recipes: a published system as one small object, and the two calls that run it.
 *
 * How to add one, in twenty lines. `core/recipes/<id>.ts` exports one object; nothing else names it:
 *
 *     import { zScore } from "../rl/baseline.ts";
 *     import { ppoClip } from "../rl/gate.ts";
 *     import { levelRatio } from "../rl/ratio.ts";
 *     import { defineRecipe, number } from "../recipe.ts";
 *
 *     export default defineRecipe({
 *       id: "gspo",
 *       paper: { title: "Group Sequence Policy Optimization", arxiv: "2507.18071" },
 *       stage: ["advantage", "objective"],
 *       describe: "Four lines: what it changes against plain GRPO, what it leaves out, quirks, reconstructions.",
 *       formula: "s_i = exp(mean_t(lp − lp_old)); loss = −mean_i min(s_i A_i, clip(s_i) A_i)",
 *       params: { eps_lo: number(0.0003, "clip range below 1", { min: 0 }), … },
 *       advantage: (c, p) => zScore(c.reward, c.group, { eps: p.eps_std }),
 *       ratio: (c) => levelRatio(c, c.trajectory, "geometric"),
 *       gate: (c, ratio, p) => ppoClip(c, ratio, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }),
 *     });
 *
 * Slots run in this order. Once per rollout batch (`prepare`): reward → advantage → filter → weight → state.update, and
 * `sampler`/`outputs` where there are any. Once per optimiser step (`objective`): ratio → gate, times the weight, plus kl
 * minus entropy → aggregate, plus aux; or `loss` in place of all of these; then state.step. A slot sees the results of
 * earlier ones through the context (`c.advantage`, `c.reward` after shaping, `c.field("weight")`).
 * - An absent slot is plain GRPO's, with its parameters (eps_std; eps_lo, eps_hi; beta), unless the recipe fills `loss` or
 *   `outputs`; `kl: none` for a system without the KL term. A recipe with `option: true` is
 *   one option and not a whole system (a KL estimator, a filter): its absent slots stay empty (but for aggregate: the
 *   token mean), and its cases hold what it fills. `compose(base, { kl: option })` puts slots of one into another.
 * - Slots return Vecs (core/rl/vec.ts): record with methods, reduce to a level by name (`x.meanOver(c.group)`), never
 *   write a derivative, stop gradients with `.stop()`. The level of what you return is the level of the output: an
 *   advantage over trajectories comes out as N numbers, over tokens as ragged rows (`.to(c.token)`).
 * - Sorting out cases in plain JavaScript is fine where no derivative is asked for: `x.values()` gives numbers now,
 *   `c.lift(level, numbers)` brings numbers back. No Math.exp/log/pow/…: core/rl/scalar.ts has them.
 * - Fields that are not in STANDARD_FIELDS (core/batch.ts) are declared: `fields: { reward_ref: "trajectory" }`, as
 *   "token", "trajectory", "group" (one a prompt), "batch", "vocabulary", "ragged" (own rows), or "raw" (JSON, by c.raw).
 * - What the loss needs of whole batches (each optimiser step sees whole groups, not the whole batch) is computed in
 *   `advantage` and kept by `c.carry("advantage_global", vec)` for `c.field("advantage_global")`.
 * - Other outputs: `c.output("sampling_weight", vecOrAnything)` in any slot. Derivatives by further fields:
 *   `differentiate: ["seq_logp", "loss_token"]` gives dseq_logp, dloss_token.
 * - A system that is not a policy-gradient step at all fills `outputs` alone and returns a record.
 * - What two recipes need becomes a function of core/rl. Recipes import core/rl, core/recipe.ts and nothing else.
 * test/recipes.test.ts finds every recipe by itself: its cases, its derivative against finite differences, its degenerate
 * batches. Mention in `describe` where a formula is a reconstruction.
 */
import { Batch, type Field, type Shape } from "./batch.ts";
import { CohortError, nearest } from "./errors.ts";
import { recipeIds } from "./generated/recipe-ids.ts";
import { seqMeanTokenMean, tokenMean } from "./rl/aggregate.ts";
import { zScore } from "./rl/baseline.ts";
import { Context, type ContextOptions, DIFFERENTIABLE, type Output } from "./rl/context.ts";
import { ppoClip } from "./rl/gate.ts";
import { gradients } from "./rl/grad.ts";
import { klEstimate, klPenalty, klToReference } from "./rl/kl.ts";
import { ALL } from "./rl/level.ts";
import { tokenRatio } from "./rl/ratio.ts";
import type { Vec } from "./rl/vec.ts";

// Parameters

export interface Param<T> {
  default: T;
  doc: string;
  type: "number" | "integer" | "boolean" | "string" | "range" | "any";
  nullable?: boolean;
  min?: number;
  max?: number;
  choices?: readonly string[];
}

interface Bounds {
  min?: number;
  max?: number;
}

export const number = (value: number, doc: string, bounds: Bounds = {}): Param<number> => ({
  default: value,
  doc,
  type: "number",
  ...bounds,
});
export const integer = (value: number, doc: string, bounds: Bounds = {}): Param<number> => ({
  ...number(value, doc, bounds),
  type: "integer",
});
/** A number, or null for "off" or "open". */
export const optional = (value: number | null, doc: string, bounds: Bounds = {}): Param<number | null> => ({
  default: value,
  doc,
  type: "number",
  nullable: true,
  ...bounds,
});
export const flag = (value: boolean, doc: string): Param<boolean> => ({ default: value, doc, type: "boolean" });
export const choice = <const T extends string>(value: NoInfer<T>, choices: readonly T[], doc: string): Param<T> => ({
  default: value,
  doc,
  type: "string",
  choices,
});
/** [lo, hi] or null. */
export const range = (value: [number, number] | null, doc: string): Param<[number, number] | null> => ({
  default: value,
  doc,
  type: "range",
  nullable: true,
});
/** Anything JSON holds (lists, records, free text); the recipe checks it. */
export const anything = <T>(value: T, doc: string): Param<T> => ({ default: value, doc, type: "any" });

// biome-ignore lint/suspicious/noExplicitAny: the parameters of a recipe that is only known at run time
export type Params = Record<string, any>;
export type ParamSpecs = Readonly<Record<string, Param<unknown>>>;
type Values<S extends ParamSpecs> = { readonly [K in keyof S]: S[K]["default"] };

// Recipes

export type Stage =
  | "sampler"
  | "rollout"
  | "reward"
  | "filter"
  | "advantage"
  | "objective"
  | "update"
  | "preference"
  | "diffusion"
  | "offline"
  | "policy"
  | "pipeline"
  | "application"
  | "theory";

/** What a filter keeps, as 1s and 0s. */
export interface Kept {
  /** Over trajectories. */
  keep?: Vec;
  /** Over tokens. */
  keepToken?: Vec;
  /** Whether dropped tokens also leave the denominators (default: they stay in them). */
  leftOut?: boolean;
}

/** Rewards that some trajectories do not have (`present` 0): those leave every moment and get advantage 0. */
export interface Partly {
  reward: Vec;
  present: Vec;
}

export type State = Record<string, unknown>;

/** The slots that a recipe may fill; p are its parameters. */
export interface Slots<P = Params> {
  /** Which prompts, how many rollouts: reports through c.output("sampling_weight" | "rollouts" | "selected", …). */
  sampler?(c: Context, p: P): void;
  /** The reward that the advantage starts from, over trajectories or tokens; output `reward_shaped`. */
  reward?(c: Context, p: P): Vec | Partly;
  /** Output `advantage`, at the level of what is returned. */
  advantage?(c: Context, p: P): Vec;
  filter?(c: Context, p: P): Kept;
  /** Constant multiplier of the policy term, over tokens or trajectories; output `weight`. */
  weight?(c: Context, p: P): Vec;
  ratio?(c: Context, p: P): Vec;
  /** From the ratio to the loss of each element (c.advantage is there). */
  gate?(c: Context, ratio: Vec, p: P): Vec;
  /** A term added to the token loss, coefficient included; over the batch: added after the aggregation. */
  kl?(c: Context, p: P): Vec;
  /** A term subtracted from the token loss, likewise. */
  entropy?(c: Context, p: P): Vec;
  aggregate?(c: Context, loss: Vec, p: P): Vec;
  /** Further terms, over the batch. */
  aux?(c: Context, p: P): Vec;
  /** The whole loss, in place of ratio … aux. */
  loss?(c: Context, p: P): Vec;
  /** Results that are no part of a policy-gradient step. */
  outputs?(c: Context, p: P): Record<string, unknown> | undefined;
  state?: {
    init(p: P): State;
    /** After `prepare`: the state for the next rollout batch. */
    update?(c: Context, p: P): State;
    /** After an optimiser step (the loss is built, values may be asked for). */
    step?(c: Context, p: P): State;
  };
}

export interface Recipe<S extends ParamSpecs = ParamSpecs> extends Slots<Values<S>> {
  /** The file's name. */
  id: string;
  paper: { title: string; arxiv?: string; source?: string };
  stage: readonly Stage[];
  /** What it changes against plain GRPO and what it leaves out. */
  describe: string;
  formula: string;
  params: S;
  /** Fields beyond the standard ones. */
  fields?: Readonly<Record<string, Shape>>;
  /** Fields, beyond those of the current policy, that the loss is differentiated by. */
  differentiate?: readonly string[];
  /** One option, not a whole system: absent slots stay empty. */
  option?: boolean;
  /** Why it cannot train a language model from rollouts, where it cannot. */
  trains?: { refuse: string };
}

/** As given; its type makes the parameters known to the slots. */
export function defineRecipe<const S extends ParamSpecs>(recipe: Recipe<S>): Recipe {
  return recipe as unknown as Recipe;
}

// Plain GRPO's slots, with the parameters they read

const GRPO: {
  [K in "advantage" | "ratio" | "gate" | "kl" | "aggregate"]: { params: ParamSpecs; run: NonNullable<Slots[K]> };
} = {
  advantage: {
    params: { eps_std: number(1e-4, "added to the group's standard deviation", { min: 0 }) },
    run: (c, p) => zScore(c.reward, c.group, { eps: p["eps_std"], weight: c.optional("reward.present") }),
  },
  ratio: { params: {}, run: (c) => tokenRatio(c) },
  gate: {
    params: {
      eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
      eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    },
    run: (c, ratio, p) => ppoClip(c, ratio, c.advantage, { lo: p["eps_lo"], hi: p["eps_hi"] }),
  },
  kl: {
    params: { beta: number(0, "coefficient of the k3 penalty to the reference", { min: 0 }) },
    run: (c, p) => (p["beta"] === 0 ? c.number(0) : klPenalty(c, klToReference(c, "k3"), p["beta"])),
  },
  aggregate: { params: {}, run: (c, loss) => seqMeanTokenMean(c, loss) },
};

/** Whether nothing is inherited from plain GRPO: options, whole losses, and what is no policy-gradient step. */
const standsAlone = (recipe: Recipe): boolean => Boolean(recipe.option || recipe.loss || recipe.outputs);

/** For a slot that plain GRPO fills and this system does not have. */
export const none = (c: Context): Vec => c.number(0);

/** The slots of a recipe with plain GRPO's in the empty places. */
function slotsOf(recipe: Recipe): Slots {
  const slots: Slots = { ...recipe };
  if (standsAlone(recipe)) return { aggregate: tokenMean, ...slots };
  return {
    advantage: GRPO.advantage.run,
    ratio: GRPO.ratio.run,
    gate: GRPO.gate.run,
    kl: GRPO.kl.run,
    aggregate: GRPO.aggregate.run,
    ...slots,
  };
}

/** All parameters of a recipe: its own and those of the GRPO slots it leaves in place. */
export function paramsOf(recipe: Recipe): ParamSpecs {
  if (standsAlone(recipe)) return recipe.params;
  const inherited: Record<string, Param<unknown>> = {};
  for (const [name, slot] of Object.entries(GRPO)) {
    if (recipe[name as keyof typeof GRPO] === undefined) Object.assign(inherited, slot.params);
  }
  return { ...inherited, ...recipe.params };
}

/**
 * The parameters to run with: defaults, overridden by what is given.
 *
 * @throws CohortError "bad-config" for an unknown name (with the nearest), a wrong type, a number out of range
 */
export function resolveParams(recipe: Recipe, given: Readonly<Record<string, unknown>> = {}): Params {
  const specs = paramsOf(recipe);
  const values: Params = {};
  for (const [name, spec] of Object.entries(specs)) values[name] = spec.default;
  for (const [name, value] of Object.entries(given)) {
    const spec = specs[name];
    const where = `resolveParams: recipe '${recipe.id}', parameter '${name}'`;
    if (!spec) {
      const guess = nearest(name, Object.keys(specs));
      throw new CohortError(
        "bad-config",
        `${where}: there is no such parameter`,
        guess ? `did you mean '${guess}'?` : `it has ${Object.keys(specs).join(", ") || "none"}`,
      );
    }
    const fault = faultOf(spec, value);
    if (fault) throw new CohortError("bad-config", `${where} is ${JSON.stringify(value)}`, fault);
    values[name] = value;
  }
  return values;
}

/** What is wrong with the value, as a remedy, or undefined. */
function faultOf(spec: Param<unknown>, value: unknown): string | undefined {
  if (spec.type === "any" || (value === null && spec.nullable)) return undefined;
  const orNull = spec.nullable ? " or null" : "";
  if (spec.type === "boolean") return typeof value === "boolean" ? undefined : "give true or false";
  if (spec.type === "string") {
    if (typeof value !== "string") return "give a text";
    return spec.choices && !spec.choices.includes(value) ? `choose one of ${spec.choices.join(", ")}` : undefined;
  }
  if (spec.type === "range") {
    const pair = Array.isArray(value) && value.length === 2 && value.every((x) => typeof x === "number" && x - x === 0);
    return pair && value[0] <= value[1] ? undefined : `give [low, high]${orNull}`;
  }
  if (typeof value !== "number" || value - value !== 0) return `give a finite number${orNull}`;
  if (spec.type === "integer" && !Number.isInteger(value)) return "give a whole number";
  if (spec.min !== undefined && value < spec.min) return `give a number of at least ${spec.min}`;
  if (spec.max !== undefined && value > spec.max) return `give a number of at most ${spec.max}`;
  return undefined;
}

/** @throws CohortError "unknown-recipe" with the nearest id */
export async function loadRecipe(id: string): Promise<Recipe> {
  if (!recipeIds.includes(id)) {
    const guess = nearest(id, recipeIds);
    throw new CohortError(
      "unknown-recipe",
      `loadRecipe: unknown recipe '${id}'`,
      guess ? `did you mean '${guess}'?` : "see `cohort list` for those there are",
    );
  }
  const module = (await import(`./recipes/${id}.ts`)) as { default: Recipe };
  return module.default;
}

export const SLOTS = [
  "sampler",
  "reward",
  "advantage",
  "filter",
  "weight",
  "ratio",
  "gate",
  "kl",
  "entropy",
  "aggregate",
  "aux",
] as const;
export type SlotName = (typeof SLOTS)[number];
/** Slots that a recipe with a `loss` of its own never runs. */
const POLICY_SLOTS: ReadonlySet<SlotName> = new Set(["weight", "ratio", "gate", "kl", "entropy", "aggregate", "aux"]);

/** Which recipes lend which slot: `{ kl: k3, filter: [dynamicSampling, overlongFilter], weight: icepop }`. */
export type Parts = { readonly [K in SlotName]?: Recipe | readonly Recipe[] };

/**
 * A system with the named slots of other recipes put in. Several filters keep what all keep, several weights multiply,
 * several kl, entropy or aux terms add up. The lenders' parameters join the base's, which win where names meet.
 *
 * @throws CohortError "bad-config" where a lender lacks the slot, two lenders cannot share one, two have a state, or the
 *   base would never run it
 */
export function compose(base: Recipe, parts: Parts): Recipe {
  const refuse = (why: string, remedy: string): never => {
    throw new CohortError("bad-config", `compose: ${why}`, remedy);
  };
  if (base.option) refuse(`'${base.id}' is an option, not a system`, "start from a whole system such as 'grpo'");
  let result: Recipe = { ...base };
  for (const slot of SLOTS) {
    const lenders = [parts[slot] ?? []].flat() as Recipe[];
    if (lenders.length === 0) continue;
    if ((base.loss && POLICY_SLOTS.has(slot)) || base.outputs) {
      refuse(`'${base.id}' has a loss of its own and never runs '${slot}'`, `leave out ${lenders[0].id}`);
    }
    for (const lender of lenders) {
      if (!lender[slot]) {
        const has = SLOTS.filter((name) => lender[name]).join(", ");
        refuse(`'${lender.id}' has no '${slot}'`, `it can lend ${has || "nothing"}`);
      }
      if (lender.state && result.state && lender.state !== result.state) {
        refuse(`'${lender.id}' and '${result.id}' both keep a state`, "leave one out");
      }
      result = {
        ...result,
        id: `${result.id}+${lender.id}`,
        params: { ...lender.params, ...result.params },
        fields: { ...lender.fields, ...result.fields },
        state: result.state ?? lender.state,
      };
    }
    const filled = lenders.length === 1 ? lenders[0][slot] : joined(slot, lenders);
    if (!filled) refuse(`${lenders.map((l) => l.id).join(" and ")} both fill '${slot}'`, "leave one out");
    result = { ...result, [slot]: filled };
  }
  return result;
}

/** Several recipes' slots as one, where that has a meaning. */
function joined(slot: SlotName, lenders: readonly Recipe[]): unknown {
  const both = (a: Vec | undefined, b: Vec | undefined): Vec | undefined => (a && b ? a.mul(b) : (a ?? b));
  if (slot === "filter") {
    return (c: Context, p: Params): Kept =>
      lenders
        .map((l) => l.filter!(c, p))
        .reduce((a, b) => ({
          keep: both(a.keep, b.keep),
          keepToken: both(a.keepToken, b.keepToken),
          leftOut: a.leftOut || b.leftOut,
        }));
  }
  if (slot === "weight") {
    return (c: Context, p: Params): Vec => lenders.map((l) => l.weight!(c, p)).reduce((a, b) => a.mul(b));
  }
  if (slot === "kl" || slot === "entropy" || slot === "aux") {
    return (c: Context, p: Params): Vec => lenders.map((l) => l[slot]!(c, p)).reduce((a, b) => a.add(b));
  }
  return undefined;
}

// Running a recipe

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
 * @throws CohortError "bad-batch" where the batch lacks a field; "not-finite" where a result is not finite
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
  /** Each slot runs in a context of its own, so that it sees what the earlier ones made. */
  const run = <T>(slot: (c: Context) => T, take?: (result: T, c: Context) => void): void => {
    const c = new Context(current, { ...options, state: before });
    try {
      const result = slot(c);
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
    finite(`prepare: '${name}' of recipe '${recipe.id}'`, data);
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
      (c) => {
        const advantage = slots.advantage!(c, params);
        if (recipe.advantage === undefined || current.fields.has("reward")) rewardMetrics(c);
        return advantage;
      },
      (advantage) => {
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
        for (const [name, value] of Object.entries(record ?? {})) outputs[name] = settled(value);
      },
    );
  }
  if (recipe.state?.update) {
    run((c) => {
      after = recipe.state!.update!(c, params);
    });
  }
  return { batch: current, ...result, outputs, metrics, state: after };
}

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
    more[name] = { level, data: data instanceof Float64Array ? data : Float64Array.from(data) };
  }
  const differentiate = [...DIFFERENTIABLE, ...(recipe.differentiate ?? [])];
  const state = options.state ?? recipe.state?.init(params) ?? {};
  const c = new Context(batch.with(more), { ...options, state, differentiate });
  try {
    const loss = buildLoss(c, slots, params);
    policyMetrics(c);
    const names = differentiate.filter((name) => c.reads.has(name) && c.has(name));
    const derivatives = gradients(
      loss,
      names.map((name) => c.field(name)),
    );
    const outputs: Record<string, unknown> = {};
    const metrics: Record<string, number> = {};
    const [value, ...parts] = c.graph.evaluate([loss, ...derivatives, ...c.metrics.values(), ...vectorsOf(c)]);
    finite(`objective: the loss of recipe '${recipe.id}'`, value);
    const grads: Record<string, Field> = {};
    names.forEach((name, k) => {
      const { level } = c.field(name);
      finite(`objective: d${name} of recipe '${recipe.id}'`, parts[k], level === c.token ? c.batch : undefined);
      grads[name] = { level, data: parts[k] };
    });
    collect(c, outputs, metrics);
    const after = recipe.state?.step?.(c, params) ?? state;
    return {
      loss: value[0],
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

/** What every objective reports, under TRL's names. */
function policyMetrics(c: Context): void {
  if (!c.has("logp")) return;
  if (c.has("logp_ref")) {
    c.report("kl", () => c.meanTrained(klEstimate(c.logp.stop().sub(c.logpRef), "k3")));
  }
  if (c.has("logp_old")) {
    c.report("ppo_kl", () => c.meanTrained(c.logpOld.sub(c.logp.stop())));
  }
  if (c.has("entropy")) c.report("entropy", () => c.meanTrained(c.entropy.stop()));
}

/** Statistics of the reward by group, under TRL's names. */
function rewardMetrics(c: Context): void {
  if (!c.wantsMetrics || !c.has("reward")) return;
  const present = c.present("reward");
  c.report("reward", () => c.reward.meanOver(ALL, present));
  const deviation = c.reward.stdOver(c.group, { ddof: 1, weight: present });
  c.report("reward_std", () => deviation.meanOver(ALL));
  c.report("frac_reward_zero_std", () => deviation.eq(0).meanOver(ALL));
}

function vectorsOf(c: Context): Vec[] {
  return [...c.outputs.values()].flatMap((o) => (isOutput(o) ? [o.vec, ...(o.present ? [o.present] : [])] : []));
}

const isOutput = (o: unknown): o is Output => typeof o === "object" && o !== null && "vec" in o;

/** A Vec as its numbers with their level; anything else as it is. */
function settled(value: unknown): unknown {
  if (typeof value !== "object" || value === null || !("graph" in value)) return value;
  const vec = value as Vec;
  return { level: vec.level, data: vec.values() };
}

function collect(c: Context, outputs: Record<string, unknown>, metrics: Record<string, number>): void {
  const vectors = [...c.metrics.values(), ...vectorsOf(c)];
  if (vectors.length > 0) c.graph.evaluate(vectors);
  for (const [name, vec] of c.metrics) metrics[name] = vec.value();
  for (const [name, o] of c.outputs) {
    outputs[name] = isOutput(o)
      ? { level: o.vec.level, data: o.vec.values(), present: o.present?.values(), flags: o.flags }
      : o;
  }
}

function finite(what: string, data: Float64Array, batch?: Batch): void {
  let at = 0;
  while (at < data.length && data[at] - data[at] === 0) at++;
  if (at === data.length) return;
  let where = `element ${at}`;
  if (batch) {
    const { offsets } = batch;
    let i = 0;
    while (offsets[i + 1] <= at) i++;
    where = `trajectory ${i}, token ${at - offsets[i]}`;
  }
  throw new CohortError(
    "not-finite",
    `${what} is ${data[at]} at ${where}`,
    "check the rewards and log-probabilities of that place for extreme values",
  );
}

// What a recipe reads

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
