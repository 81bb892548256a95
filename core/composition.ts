/**
 * @file The recipe that a configuration asks for: a system, with option recipes put in.
 *
 *     { "recipe": "gspo", "kl": "k3-unbiased", "filter": ["dynamic-sampling"], "correction": "icepop" }
 *
 * A key takes from the recipe that it names what the key is about: `kl` its KL term, `filter` its filter, `correction`
 * its weight and filter, `aggregate` its aggregation, `options` every slot that it fills. `compose` refuses what does not
 * go together, with the reason.
 */
import type { TrainConfig } from "./config.ts";
import { CohortError } from "./errors.ts";
import { recipeIds } from "./generated/recipe-ids.ts";
import { compose, didYouMean, loadRecipe, type Recipe, SLOTS, type SlotName, similarIds } from "./recipe.ts";

/** Which configuration keys name options, and what their short names stand for: `kl: "k3"` is the recipe kl-k3. */
const KEYS = [
  { key: "kl", prefix: "kl-", lends: ["kl"] },
  { key: "filter", prefix: "", lends: ["filter"] },
  { key: "correction", prefix: "", lends: ["weight", "filter"] },
  { key: "aggregate", prefix: "agg-", lends: ["aggregate"] },
  { key: "options", prefix: "", lends: SLOTS },
] as const satisfies readonly { key: keyof TrainConfig; prefix: string; lends: readonly SlotName[] }[];

type Choices = Pick<TrainConfig, "recipe"> & Partial<Pick<TrainConfig, (typeof KEYS)[number]["key"]>>;

/** @throws CohortError "unknown-recipe", or "bad-config" for a combination that has no meaning */
export async function recipeOf(config: Choices): Promise<Recipe> {
  const base = await loadRecipe(config.recipe);
  const parts: { [K in SlotName]?: Recipe[] } = {};
  for (const { key, prefix, lends } of KEYS) {
    for (const name of [config[key] ?? []].flat()) {
      const id = prefix && recipeIds.includes(prefix + name) ? prefix + name : name;
      if (!recipeIds.includes(id)) throw await unknown(key, name, prefix, lends);
      const lender = await loadRecipe(id);
      const slots = lends.filter((slot) => lender[slot]);
      if (slots.length === 0) {
        throw new CohortError(
          "bad-config",
          `${key}: '${lender.id}' has no ${lends.length < SLOTS.length ? lends.join(" and no ") : "slot to lend"}`,
          `make it the recipe, or choose another for ${key}`,
        );
      }
      for (const slot of slots) parts[slot] = [...(parts[slot] ?? []), lender];
    }
  }
  return Object.keys(parts).length === 0 ? base : compose(base, parts);
}

/** More ids than this are no help in a sentence. */
const FEW = 24;

/** The refusal of an id that is none: only those that fit the key are suggested, by their short names. */
async function unknown(key: string, name: string, prefix: string, lends: readonly SlotName[]): Promise<CohortError> {
  const named = recipeIds.filter((id) => id.startsWith(prefix));
  const short = named.map((id) => id.slice(prefix.length));
  const loaded = prefix ? [] : await Promise.all(named.map(loadRecipe));
  const fitting = loaded.filter((recipe) => lends.some((slot) => recipe[slot]));
  // Whole systems lend too, but most of those with a filter are not looked up for it.
  const usual = fitting.filter((recipe) => recipe.option || (key === "correction" && recipe.weight));
  const ids = (recipes: readonly Recipe[]) => recipes.map(({ id }) => id);
  const plain = name.startsWith(prefix) ? name.slice(prefix.length) : name;
  const guesses = [...(prefix ? [short] : []), ids(usual), ids(fitting)].map((list) => similarIds(plain, list));
  const meant = guesses.find((list) => list.length > 0);
  const all = prefix ? short : ids(usual);
  const listed = all.length <= FEW ? `it takes ${all.join(", ")}` : "`cohort list` says option beside those that fit";
  return new CohortError("unknown-recipe", `${key}: unknown recipe '${name}'`, meant ? didYouMean(meant) : listed);
}
