import { defineRecipe, number } from "../recipe.ts";
import { meanLogp, NEEDS_PAIRS, pairMean, pairScores } from "../rl/preference.ts";

export default defineRecipe({
  id: "simpo",
  paper: {
    title: "SimPO: Simple Preference Optimization with a Reference-Free Reward",
    source: "huggingface/trl@f2cd577 trl/experimental/cpo/cpo_trainer.py",
  },
  stage: ["preference"],
  describe: `Pairs, no reference: the reward is the mean log-probability of the completion, which is what generation
goes by, and the chosen one must win by a margin. TRL's CPO trainer without its NLL term.`,
  formula: "loss = mean of −ln σ(beta·(a_w − a_l) − gamma), a = Σ_t lp / Σ_t m",
  params: {
    beta: number(2, "scale of the reward", { min: 0 }),
    gamma: number(0.5, "margin that the chosen side must have"),
  },
  trains: NEEDS_PAIRS,
  loss: (c, p) => {
    const { delta } = pairScores(c, meanLogp(c));
    return pairMean(delta.mul(p.beta).sub(p.gamma).logSigmoid().neg());
  },
});
