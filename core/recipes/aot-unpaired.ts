import { defineRecipe, number } from "../recipe.ts";
import { NEEDS_PAIRS, pairMean, pairScores, smoothedLogistic } from "../rl/preference.ts";

export default defineRecipe({
  id: "aot-unpaired",
  paper: {
    title: "Distributional Preference Alignment of LLMs via Optimal Transport",
    source: "huggingface/trl@f2cd577 trl/trainer/dpo_trainer.py",
  },
  stage: ["preference"],
  describe: `Distributional preference: the sorted implicit rewards of all chosen answers should lie above those of all
rejected ones, quantile by quantile; which answer was paired with which plays no part.`,
  formula: "δ = sorted h_w − sorted h_l; loss = mean of −(1−ε) ln σ(beta·δ) − ε ln σ(−beta·δ)",
  params: {
    beta: number(0.1, "strength of the pull to the reference", { min: 0 }),
    label_smoothing: number(0, "share of pairs whose label is wrong", { min: 0, max: 0.5 }),
  },
  trains: NEEDS_PAIRS,
  loss: (c, p) => {
    const { w, l } = pairScores(c);
    return pairMean(smoothedLogistic(w.sortOver(c.all).sub(l.sortOver(c.all)).mul(p.beta), p.label_smoothing));
  },
});
