/** @file The recipes, from the file that is built beside the page. */
import { CohortError } from "../../core/errors.ts";
import type { Catalogue, RecipeEntry } from "./catalogue.ts";

export type { RecipeEntry };

let loading: Promise<Catalogue> | undefined;
let loaded: Catalogue | undefined;

export function allRecipes(): Promise<Catalogue> {
  loading ??= fetch(new URL("./recipes.json", import.meta.url)).then(async (response) => {
    if (response.ok) {
      loaded = (await response.json()) as Catalogue;
      return loaded;
    }
    throw new CohortError("io", `recipes.json: ${response.status}`, "put the page's folder on the server whole");
  });
  return loading;
}

/** One of them, once they are here. */
export const entryOf = (id: string): RecipeEntry | undefined => loaded?.recipes.find((recipe) => recipe.id === id);

/** One of them; where it is not among those that train, only its name. */
export async function recipeNamed(id: string): Promise<Partial<RecipeEntry> & { id: string }> {
  const { recipes } = await allRecipes();
  return recipes.find((recipe) => recipe.id === id) ?? { id };
}
