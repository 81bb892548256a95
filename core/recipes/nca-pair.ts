import { defineRecipe, number } from "../recipe.ts";
import { NEEDS_PAIRS, pairMean, pairScores } from "../rl/preference.ts";

export default defineRecipe({
  id: "nca-pair",
  paper: {
    title: "Noise Contrastive Alignment of Language Models with Explicit Rewards",
    source: "huggingface/trl@f2cd577 trl/trainer/dpo_trainer.py",
  },
  stage: ["preference"],
  describe: `Pairs, no rollouts. Noise contrastive: the chosen side has a term that pulls its likelihood up and one
that keeps the implicit reward from running away, so that the likelihood of good answers does not fall as under DPO.`,
  formula: "loss = mean of −ln σ(beta·h_w) − ½ ln σ(−beta·h_w) − ½ ln σ(−beta·h_l), h = Σ_t (lp − lp_ref)",
  params: { beta: number(0.1, "strength of the pull to the reference", { min: 0 }) },
  trains: NEEDS_PAIRS,
  loss: (c, p) => {
    const { w, l } = pairScores(c);
    const [good, bad] = [w.mul(p.beta), l.mul(p.beta)];
    const noise = good.neg().logSigmoid().add(bad.neg().logSigmoid()).mul(0.5);
    return pairMean(good.logSigmoid().add(noise).neg());
  },
});
