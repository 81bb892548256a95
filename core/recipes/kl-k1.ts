import { defineRecipe, number } from "../recipe.ts";
import { klPenalty, klToReference } from "../rl/kl.ts";

export default defineRecipe({
  id: "kl-k1",
  paper: {
    title: "Approximating KL Divergence (Schulman, 2020)",
    source: "verl-project/verl@1dda039 verl/trainer/ppo/core_algos.py (kl_penalty)",
  },
  stage: ["objective"],
  describe: `An option: the log-ratio itself. An unbiased value; as a loss its expected gradient is 0 (it pushes all
sampled tokens down alike), so it belongs into the reward (kl-in-reward).`,
  formula: "beta·(lp − lp_ref)",
  params: { beta: number(0.001, "coefficient", { min: 0 }) },
  option: true,
  kl: (c, p) => klPenalty(c, klToReference(c, "k1"), p.beta),
});
