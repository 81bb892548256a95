import { defineRecipe, number } from "../recipe.ts";
import { chosenNll, NEEDS_PAIRS, pairMean, pairs, smoothedLogistic, sumLogp } from "../rl/preference.ts";

export default defineRecipe({
  id: "cpo",
  paper: {
    title: "Contrastive Preference Optimization: Pushing the Boundaries of LLM Performance in Machine Translation",
    source: "huggingface/trl@f2cd577 trl/experimental/cpo/cpo_trainer.py",
  },
  stage: ["preference"],
  describe: `DPO without the reference (taken to be uniform), plus the negative log-likelihood of the chosen answers,
one token mean over all of them together.`,
  formula: "x = Σ lp_w − Σ lp_l; loss = mean of −(1−ε) ln σ(beta·x) − ε ln σ(−beta·x) + nll·NLL_w",
  params: {
    beta: number(0.1, "scale of the log-ratio", { min: 0 }),
    nll: number(1, "weight of the likelihood of the chosen", { min: 0 }),
    label_smoothing: number(0, "share of pairs whose label is wrong", { min: 0, max: 0.5 }),
  },
  trains: NEEDS_PAIRS,
  loss: (c, p) => {
    const both = pairs(c);
    const x = both.chosen(sumLogp(c)).sub(both.rejected(sumLogp(c)));
    return pairMean(smoothedLogistic(x.mul(p.beta), p.label_smoothing)).add(chosenNll(c, both).mul(p.nll));
  },
});
