import { defineRecipe } from "../recipe.ts";
import { groupMeanTokenMean } from "../rl/aggregate.ts";

export default defineRecipe({
  id: "agg-group-token-mean",
  paper: { title: "The Art of Scaling Reinforcement Learning Compute for LLMs", arxiv: "2510.13786" },
  stage: ["objective"],
  describe: `An option: every prompt weighs the same, and inside a prompt every token. Groups without a trained token are
left out of the mean.`,
  formula: "(1/#groups) Σ_g Σ_{i∈g,t} m·ℓ / Σ_{i∈g,t} m",
  params: {},
  fields: { loss_token: "token" },
  differentiate: ["loss_token"],
  option: true,
  aggregate: groupMeanTokenMean,
});
