import { defineRecipe, number, optional } from "../recipe.ts";
import { NEEDS_PAIRS, pairMean, pairs, sharedSums } from "../rl/preference.ts";

export default defineRecipe({
  id: "ld-dpo",
  paper: {
    title: "Length Desensitization in Direct Preference Optimization",
    source: "huggingface/trl@f2cd577 trl/trainer/dpo_trainer.py",
  },
  stage: ["preference"],
  describe: `DPO less sensitive to length: in each pair the tokens beyond the shorter completion's count weigh ld_alpha
in h, for policy and reference alike. null or 1 is DPO.`,
  formula:
    "h = Σ_{t<n} (lp−lp_ref) + ld_alpha·Σ_{t≥n} (lp−lp_ref), n the shorter count of the pair; loss = mean of −ln σ(beta·Δ)",
  params: {
    beta: number(0.1, "strength of the pull to the reference", { min: 0 }),
    ld_alpha: optional(null, "weight of the tokens beyond the shared length; null: 1", { min: 0, max: 1 }),
  },
  trains: NEEDS_PAIRS,
  loss: (c, p) => {
    const { w, l } = sharedSums(c, c.logp.sub(c.logpRef), pairs(c), p.ld_alpha ?? 1);
    return pairMean(w.sub(l).mul(p.beta).logSigmoid().neg());
  },
});
