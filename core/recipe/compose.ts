/**
 * @file Composition: a system with single slots of other recipes put in.
 */
import { CohortError } from "../errors.ts";
import type { Context } from "../rl/context.ts";
import type { Vec } from "../rl/vec.ts";
import type { Params } from "./parameters.ts";
import type { Kept, Recipe } from "./types.ts";

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
  "reference",
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
      // What moves the reference keeps weights; its state is for weights that a batch carries.
      const state = slot === "reference" ? undefined : lender.state;
      if (state && result.state && state !== result.state) {
        refuse(`'${lender.id}' and '${result.id}' both keep a state`, "leave one out");
      }
      if (lender.rows && result.rows && lender.rows !== result.rows) {
        refuse(`'${lender.id}' and '${result.id}' both read rows over the vocabulary`, "leave one out");
      }
      result = {
        ...result,
        id: `${result.id}+${lender.id}`,
        rows: lender.rows ?? result.rows,
        // A KL term is asked for to act: its own coefficient stands, not the 0 that switched the base's off.
        params: slot === "kl" ? { ...result.params, ...lender.params } : { ...lender.params, ...result.params },
        fields: { ...lender.fields, ...result.fields },
        state: result.state ?? state,
        trains: joinedTraining(result.trains, lender.trains),
      };
    }
    const filled = lenders.length === 1 ? lenders[0][slot] : joined(slot, lenders);
    if (!filled) refuse(`${lenders.map((l) => l.id).join(" and ")} both fill '${slot}'`, "leave one out");
    result = { ...result, [slot]: filled };
  }
  return result;
}

/** What training must supply to a system and to what is put into it. */
function joinedTraining(base: Recipe["trains"], lender: Recipe["trains"]): Recipe["trains"] {
  if (!lender) return base;
  const supply = { ...lender.supply, ...base?.supply };
  const draws = base?.draws ?? lender.draws;
  const refuse = base?.refuse ?? lender.refuse;
  const teacher = base?.teacher ?? lender.teacher;
  const noise = base?.noise ?? lender.noise;
  return {
    ...base,
    supply,
    ...(teacher && { teacher }),
    ...(draws && { draws }),
    ...(noise && { noise }),
    ...(refuse && { refuse }),
  };
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
