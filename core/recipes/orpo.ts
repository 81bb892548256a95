import { defineRecipe, number } from "../recipe.ts";
import { chosenNll, meanLogp, NEEDS_PAIRS, pairMean, pairs } from "../rl/preference.ts";

export default defineRecipe({
  id: "orpo",
  paper: {
    title: "ORPO: Monolithic Preference Optimization without Reference Model",
    source: "huggingface/trl@f2cd577 trl/experimental/orpo/orpo_trainer.py",
  },
  stage: ["preference"],
  describe: `Pairs, no reference: supervised loss on the chosen answers plus a term that widens the odds ratio of
chosen to rejected. The NLL here runs over the completion; TRL counts the prompt's tokens too.`,
  formula: "odds(a) = a − ln(1 − e^a), a = mean lp; loss = NLL_w − beta·mean ln σ(odds(a_w) − odds(a_l))",
  params: { beta: number(0.1, "weight of the odds ratio", { min: 0 }) },
  trains: NEEDS_PAIRS,
  loss: (c, p) => {
    const both = pairs(c);
    const a = meanLogp(c);
    const odds = a.sub(a.expm1().neg().log());
    const ratio = both.chosen(odds).sub(both.rejected(odds));
    return chosenNll(c, both).sub(pairMean(ratio.logSigmoid()).mul(p.beta));
  },
});
