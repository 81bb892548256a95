import { defineRecipe, number } from "../recipe.ts";
import { NEEDS_PAIRS, pairMean, pairScores } from "../rl/preference.ts";

export default defineRecipe({
  id: "bco-pair",
  paper: {
    title: "Binary Classifier Optimization for Large Language Model Alignment",
    source: "huggingface/trl@f2cd577 trl/trainer/dpo_trainer.py",
  },
  stage: ["preference"],
  describe: `Pairs, no rollouts. Each side is classified by itself as good or bad, with the implicit reward as the
logit. TRL's pairwise form: no running mean of rewards is subtracted.`,
  formula: "loss = mean of −ln σ(beta·h_w) − ln σ(−beta·h_l), h = Σ_t (lp − lp_ref)",
  params: { beta: number(0.1, "strength of the pull to the reference", { min: 0 }) },
  trains: NEEDS_PAIRS,
  loss: (c, p) => {
    const { w, l } = pairScores(c);
    return pairMean(w.mul(p.beta).logSigmoid().add(l.mul(-p.beta).logSigmoid()).neg());
  },
});
