import { defineRecipe, number } from "../recipe.ts";
import { klPenalty, klToReference } from "../rl/kl.ts";

export default defineRecipe({
  id: "kl-abs",
  paper: {
    title: "Approximating KL Divergence (Schulman, 2020)",
    source: "verl-project/verl@1dda039 verl/trainer/ppo/core_algos.py (kl_penalty)",
  },
  stage: ["objective"],
  describe: `An option: the absolute log-ratio as the penalty. Biased; its derivative is the sign, of the same size
however far the policy has gone.`,
  formula: "beta·|lp − lp_ref|",
  params: { beta: number(0.001, "coefficient", { min: 0 }) },
  option: true,
  kl: (c, p) => klPenalty(c, klToReference(c, "abs"), p.beta),
});
