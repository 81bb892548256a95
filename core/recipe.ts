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
 * - What depends on a token's row over the vocabulary (a divergence to a teacher) is one number a token of the slot `rows`,
 *   which runs before the loss: `rows: (c) => …c.field("logits")…sumOver(c.token)`, then `c.row`. So it trains at any size.
 * - What the loss needs of whole batches (each optimiser step sees whole groups, not the whole batch) is computed in
 *   `advantage` and kept by `c.carry("advantage_global", vec)` for `c.field("advantage_global")`.
 * - What training must supply beside plain rollouts is named in `trains.supply`: a field, and who makes it (the table of
 *   core/train/supply.ts): `{ demo: "demonstration" }`. A sampler whose decisions are to be followed says so by
 *   `trains.draws`; a parameter that repeats a key of the run's configuration, by `config` among its bounds.
 * - Other outputs: `c.output("sampling_weight", vecOrAnything)` in any slot. Derivatives by further fields:
 *   `differentiate: ["seq_logp", "loss_token"]` gives dseq_logp, dloss_token.
 * - A system that is not a policy-gradient step at all fills `outputs` alone and returns a record.
 * - What two recipes need becomes a function of core/rl. Recipes import core/rl, core/recipe.ts and nothing else.
 * test/recipes.test.ts finds every recipe by itself: its cases, its derivative against finite differences, its degenerate
 * batches. Mention in `describe` where a formula is a reconstruction.
 */
import { CohortError, nearest } from "./errors.ts";
import { recipeIds } from "./generated/recipe-ids.ts";
import type { Recipe } from "./recipe/types.ts";

export { compose, type Parts, SLOTS, type SlotName } from "./recipe/compose.ts";
export { none, paramsOf, resolveParams } from "./recipe/defaults.ts";
export { needs } from "./recipe/needs.ts";
export { type Objective, type ObjectiveOptions, objective, type PolicyValues } from "./recipe/objective.ts";
export {
  anything,
  choice,
  flag,
  integer,
  list,
  number,
  optional,
  type Param,
  type ParamSpecs,
  type Params,
  range,
} from "./recipe/parameters.ts";
export { type Prepared, plan, prepare } from "./recipe/prepare.ts";
export { type Rows, readsReferenceRows, rowDerivatives, rowNumbers } from "./recipe/rows.ts";
export {
  type DataKind,
  defineRecipe,
  type Kept,
  type MovingReference,
  type Partly,
  type Recipe,
  type Slots,
  type Stage,
  type State,
  type SupplyName,
  type WeightMoves,
} from "./recipe/types.ts";

const wordsOf = (text: string): string[] => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];

/**
 * Ids that an unknown one may mean, best first: the same words in another order; ids with all its words (`ppo`); ids whose
 * paper's title has them in this order; the nearest spelling.
 *
 * @param titles of the papers, by id, where they are at hand
 */
export function similarIds(
  id: string,
  ids: readonly string[],
  titles: ReadonlyMap<string, string> = new Map(),
): string[] {
  const words = wordsOf(id);
  const phrase = ` ${words.join(" ")} `;
  const held = ids.filter((other) => words.length > 0 && words.every((word) => wordsOf(other).includes(word)));
  const exact = held.filter((other) => wordsOf(other).length === words.length);
  if (exact.length > 0) return exact;
  if (held.length > 0) {
    const first = (other: string) => wordsOf(other).indexOf(words[0]);
    return held.sort((a, b) => first(a) - first(b));
  }
  const titled = ids.filter((other) => ` ${wordsOf(titles.get(other) ?? "").join(" ")} `.includes(phrase));
  if (titled.length > 0 && phrase.length > 4) return titled;
  const near = nearest(id, ids);
  return near ? [near] : [];
}

/** "did you mean 'a', 'b' or 'c'?" */
export function didYouMean(ids: readonly string[]): string {
  const quoted = ids.slice(0, 5).map((id) => `'${id}'`);
  const last = ids.length > 5 ? "another like them" : quoted.pop();
  return `did you mean ${quoted.length > 0 ? `${quoted.join(", ")} or ` : ""}${last}?`;
}

/** @throws CohortError "unknown-recipe" with those that may be meant */
export async function loadRecipe(id: string): Promise<Recipe> {
  if (!recipeIds.includes(id)) {
    const guesses = similarIds(id, recipeIds);
    throw new CohortError(
      "unknown-recipe",
      `loadRecipe: unknown recipe '${id}'`,
      guesses.length > 0 ? didYouMean(guesses) : "see `cohort list` for those there are",
    );
  }
  const module = (await import(`./recipes/${id}.ts`)) as { default: Recipe };
  return module.default;
}
