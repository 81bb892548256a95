/** @file The recipes, from the file that is built beside the page. */
import { CohortError } from "../../core/errors.ts";
import type { Catalogue, RecipeEntry } from "./catalogue.ts";

export type { RecipeEntry };

let loading: Promise<Catalogue> | undefined;

export function allRecipes(): Promise<Catalogue> {
  loading ??= fetch(new URL("./recipes.json", import.meta.url)).then((response) => {
    if (response.ok) return response.json();
    throw new CohortError("io", `recipes.json: ${response.status}`, "put the page's folder on the server whole");
  });
  return loading;
}

/** One of them; where it is not among those that train, only its name. */
export async function recipeNamed(id: string): Promise<Partial<RecipeEntry> & { id: string }> {
  const { recipes } = await allRecipes();
  return recipes.find((recipe) => recipe.id === id) ?? { id };
}
