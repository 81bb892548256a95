import { defineRecipe, number } from "../recipe.ts";
import { klPenalty, klToReference, straightThrough } from "../rl/kl.ts";

export default defineRecipe({
  id: "kl-k1-straight-through",
  paper: {
    title: "Approximating KL Divergence (Schulman, 2020)",
    source: "verl-project/verl@1dda039 verl/trainer/ppo/core_algos.py (kl_penalty)",
  },
  stage: ["objective"],
  describe: `An option: the value of k1, which is unbiased, with the gradient of k2, which on-policy is that of the
reverse KL.`,
  formula: "beta·[k2 − sg(k2) + sg(k1)]",
  params: { beta: number(0.001, "coefficient", { min: 0 }) },
  option: true,
  kl: (c, p) => klPenalty(c, straightThrough(klToReference(c, "k1"), klToReference(c, "k2")), p.beta),
});
