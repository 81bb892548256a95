import { defineRecipe, none } from "../recipe.ts";
import { keepSingles } from "../rl/baseline.ts";
import { score } from "../rl/gate.ts";

export default defineRecipe({
  id: "opo",
  paper: {
    title: "On-Policy RL with Optimal Reward Baseline",
    source: "verl verl/trainer/ppo/core_algos.py (opo)",
  },
  stage: ["advantage"],
  describe: `The group's baseline weighs each reward by its trajectory's length, which minimises the variance where token
gradients are independent and of equal norm. Strictly on-policy as advised: no deviation, no ratio or clip, no KL.
A group of one, and one without a trained token, has baseline 0.`,
  formula: "A_i = R_i − Σ_j T_j R_j / Σ_j T_j, T = Σ_t m; ℓ = −A·lp",
  params: {},
  advantage: (c) => keepSingles(c.reward, c.group, c.reward.sub(c.reward.meanOver(c.group, c.trained))),
  ratio: none,
  gate: (c) => score(c, c.advantage),
  kl: none,
});
