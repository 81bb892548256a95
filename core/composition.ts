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
import { compose, loadRecipe, type Recipe, SLOTS, type SlotName } from "./recipe.ts";

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
