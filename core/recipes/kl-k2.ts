import { defineRecipe, number } from "../recipe.ts";
import { klPenalty, klToReference } from "../rl/kl.ts";

export default defineRecipe({
  id: "kl-k2",
  paper: {
    title: "Approximating KL Divergence (Schulman, 2020)",
    source: "verl-project/verl@1dda039 verl/trainer/ppo/core_algos.py (kl_penalty)",
  },
  stage: ["objective"],
  describe: `An option: half the squared log-ratio. Biased as a value; its gradient, on-policy, is that of the reverse
KL.`,
  formula: "beta·½(lp − lp_ref)²",
  params: { beta: number(0.001, "coefficient", { min: 0 }) },
  option: true,
  kl: (c, p) => klPenalty(c, klToReference(c, "k2"), p.beta),
});
