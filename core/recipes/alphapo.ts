import { defineRecipe, number } from "../recipe.ts";
import { meanLogp, NEEDS_PAIRS, pairMean, pairScores } from "../rl/preference.ts";

export default defineRecipe({
  id: "alphapo",
  paper: {
    title: "AlphaPO: Reward Shape Matters for LLM Alignment",
    source: "huggingface/trl@f2cd577 trl/experimental/cpo/cpo_trainer.py",
  },
  stage: ["preference"],
  describe: `SimPO with a bent reward: alpha above 0 makes low likelihoods count more than their logarithm does, alpha
below 0 less; 0 is SimPO.`,
  formula: "loss = mean of −ln σ(beta·(r_w − r_l) − gamma), r = (1 − exp(−alpha·a))/alpha, a = Σ_t lp / Σ_t m",
  params: {
    beta: number(2, "scale of the reward", { min: 0 }),
    gamma: number(0.5, "margin that the chosen side must have"),
    alpha: number(0.25, "bend of the reward; 0: the mean log-probability itself"),
  },
  trains: NEEDS_PAIRS,
  loss: (c, p) => {
    const a = meanLogp(c);
    const reward = p.alpha === 0 ? a : a.mul(-p.alpha).exp().sub(1).div(-p.alpha);
    const { delta } = pairScores(c, reward);
    return pairMean(delta.mul(p.beta).sub(p.gamma).logSigmoid().neg());
  },
});
