/** @file The recipes as the page shows them: gathered when the page is built, so that it need not load every recipe. */
import { recipeIds } from "../../core/generated/recipe-ids.ts";
import { loadRecipe, type ParamSpecs, paramsOf, type Stage } from "../../core/recipe.ts";
import { readsBeyondRollouts } from "../../core/train.ts";
import { stages } from "../cli/list.ts";

export interface RecipeEntry {
  id: string;
  paper: { title: string; arxiv?: string };
  stage: Stage;
  describe: string;
  formula: string;
  params: ParamSpecs;
}

export interface Catalogue {
  /** the systems that train from rollouts */
  recipes: RecipeEntry[];
  /** how many others there are */
  others: number;
  /** stage → its meaning, in order */
  stages: Readonly<Record<string, string>>;
}

export async function catalogue(): Promise<Catalogue> {
  const recipes: RecipeEntry[] = [];
  for (const id of recipeIds) {
    const recipe = await loadRecipe(id);
    if (recipe.option || recipe.trains?.refuse || readsBeyondRollouts(recipe).length > 0) continue;
    const { paper, stage, describe, formula } = recipe;
    recipes.push({ id, paper, stage: stage[0], describe, formula, params: paramsOf(recipe) });
  }
  return { recipes, others: recipeIds.length - recipes.length, stages };
}
