/**
 * @file Plain GRPO: what an absent slot does, and the parameters it reads.
 */
import { CohortError, nearest } from "../errors.ts";
import { seqMeanTokenMean, tokenMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { ppoClip } from "../rl/gate.ts";
import { klPenalty, klToReference } from "../rl/kl.ts";
import { tokenRatio } from "../rl/ratio.ts";
import type { Vec } from "../rl/vec.ts";
import { faultOf, number, type Param, type ParamSpecs, type Params } from "./parameters.ts";
import type { Recipe, Slots } from "./types.ts";

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
export function slotsOf(recipe: Recipe): Slots {
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
 * @param config a run's configuration, for parameters that repeat a key of it
 * @throws CohortError "bad-config" for an unknown name (with the nearest), a wrong type, a number out of range
 */
export function resolveParams(
  recipe: Recipe,
  given: Readonly<Record<string, unknown>> = {},
  config: { readonly [K in NonNullable<Param<unknown>["config"]>]?: number } = {},
): Params {
  const specs = paramsOf(recipe);
  const values: Params = {};
  for (const [name, spec] of Object.entries(specs)) values[name] = (spec.config && config[spec.config]) ?? spec.default;
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
