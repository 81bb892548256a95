import { defineRecipe, number } from "../recipe.ts";
import { implicitReward, NEEDS_PAIRS, pairMean, pairs } from "../rl/preference.ts";

export default defineRecipe({
  id: "dpo",
  paper: {
    title: "Direct Preference Optimization: Your Language Model is Secretly a Reward Model",
    arxiv: "2305.18290",
  },
  stage: ["preference"],
  describe: `No rollouts, no reward model: pairs of a chosen and a rejected completion. The reward is implicit, beta times
the log-ratio to the reference summed over the trained tokens, and the loss is the logistic one of its difference.`,
  formula: "loss = mean over pairs of −ln σ(beta·(h_w − h_l)), h = Σ_t (lp − lp_ref)",
  params: { beta: number(0.1, "strength of the pull to the reference", { min: 0 }) },
  trains: NEEDS_PAIRS,
  loss: (c, p) => {
    const { chosen, rejected } = pairs(c);
    const h = implicitReward(c);
    return pairMean(chosen(h).sub(rejected(h)).mul(p.beta).logSigmoid().neg());
  },
});
