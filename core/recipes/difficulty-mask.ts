import { defineRecipe, number } from "../recipe.ts";
import { meanWithin } from "../rl/filter.ts";

export default defineRecipe({
  id: "difficulty-mask",
  paper: { title: "ROLL difficulty_mask", source: "ROLL roll/utils/functionals.py" },
  stage: ["filter"],
  describe: `An option: samples of prompts that are too easy or too hard for the policy leave the loss. Both bounds are
strict. Nothing is sampled in their place.`,
  formula: "keep_i = lo < mean_g R < hi",
  params: {
    lo: number(0.1, "the group's mean reward lies above"),
    hi: number(0.95, "and below"),
  },
  option: true,
  filter: (c, p) => ({ keep: meanWithin(c, c.reward, p.lo, p.hi) }),
});
