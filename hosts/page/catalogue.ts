/** @file The recipes as the page shows them: gathered when the page is built, so that it need not load every recipe. */
import { recipeIds } from "../../core/generated/recipe-ids.ts";
import { type DataKind, loadRecipe, type ParamSpecs, paramsOf, type Stage } from "../../core/recipe.ts";
import { readsBeyondData, readsBeyondRollouts } from "../../core/train.ts";
import { stages } from "../cli/list.ts";

export interface RecipeEntry {
  id: string;
  paper: { title: string; arxiv?: string };
  stage: Stage;
  describe: string;
  formula: string;
  params: ParamSpecs;
  /** whether it trains from prompts and a reward */
  rollouts: boolean;
  /** which examples it trains from, where it does */
  data?: DataKind;
  /** the share of steps on a data set whose completions the policy samples: a parameter's name */
  sampled?: string;
  /** what is trained gives a score in place of tokens */
  scored?: boolean;
  /** it learns from another model, which has to be named */
  teacher?: boolean;
}

export interface Catalogue {
  /** the systems that train */
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
    if (recipe.option) continue;
    const { paper, stage, describe, formula, trains = {} } = recipe;
    const rollouts = !trains.refuse && readsBeyondRollouts(recipe).length === 0;
    const data = trains.data && readsBeyondData(recipe).length === 0 ? trains.data : undefined;
    if (!rollouts && !data) continue;
    recipes.push({
      id,
      paper,
      stage: stage[0],
      describe,
      formula,
      params: paramsOf(recipe),
      rollouts,
      ...(data && { data }),
      ...(trains.sampled && { sampled: trains.sampled }),
      ...(trains.head === "score" && { scored: true }),
      ...(trains.teacher && { teacher: true }),
    });
  }
  return { recipes, others: recipeIds.length - recipes.length, stages };
}
