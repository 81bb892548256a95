import { defineRecipe, number } from "../recipe.ts";
import { klPenalty, klToReference } from "../rl/kl.ts";

export default defineRecipe({
  id: "kl-k3",
  paper: { title: "Approximating KL Divergence (Schulman, 2020)", source: "verl kl_penalty (low_var_kl)" },
  stage: ["objective"],
  describe: `An option: the k3 penalty with verl's clamps (20 inside, 10 outside), no gradient where a clamp is active.
Unbiased and of low variance as a value; as a loss its expected gradient is that of the forward KL, not the reverse.`,
  formula: "beta·(exp(d) − d − 1), d = lp_ref − lp",
  params: { beta: number(0.001, "coefficient", { min: 0 }) },
  option: true,
  kl: (c, p) => klPenalty(c, klToReference(c, "k3", { inner: 20, outer: 10 }), p.beta),
});
