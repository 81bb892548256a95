import { defineRecipe, number } from "../recipe.ts";
import { klPenalty, klToReference } from "../rl/kl.ts";
import { tokenRatio } from "../rl/ratio.ts";

export default defineRecipe({
  id: "kl-k2-importance",
  paper: {
    title: "OpenRLHF pull request 1309 (unbiased_gradient)",
    source: "OpenRLHF/OpenRLHF pull request 1309 (text read, code not in the snapshot)",
  },
  stage: ["objective"],
  describe: `An option: k2 weighted by the ratio to the rollout policy, without gradient and truncated: the gradient of
the reverse KL off-policy. Only the gradient is the estimate, the value is not.`,
  formula: "beta·w·½(lp − lp_ref)², w = sg(min(exp(lp − lp_old), w_max))",
  params: { beta: number(0.04, "coefficient", { min: 0 }), w_max: number(10, "upper bound of the weight", { min: 0 }) },
  option: true,
  kl: (c, p) => klPenalty(c, klToReference(c, "k2").mul(tokenRatio(c).min(p.w_max).stop()), p.beta),
});
