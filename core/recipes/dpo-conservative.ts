import { defineRecipe, number } from "../recipe.ts";
import { NEEDS_PAIRS, pairMean, pairScores, smoothedLogistic } from "../rl/preference.ts";

export default defineRecipe({
  id: "dpo-conservative",
  paper: {
    title: "A note on DPO with noisy preferences and relationship to IPO",
    source: "huggingface/trl@f2cd577 trl/trainer/dpo_trainer.py",
  },
  stage: ["preference"],
  describe: `DPO for noisy labels: every pair counts with a share epsilon as if it were turned round. The optimum is a
finite margin instead of an infinite one.`,
  formula: "loss = mean of −(1−ε) ln σ(beta·Δ) − ε ln σ(−beta·Δ)",
  params: {
    beta: number(0.1, "strength of the pull to the reference", { min: 0 }),
    label_smoothing: number(0.1, "share of pairs whose label is wrong", { min: 0, max: 0.5 }),
  },
  trains: NEEDS_PAIRS,
  loss: (c, p) => {
    const { delta } = pairScores(c);
    return pairMean(smoothedLogistic(delta.mul(p.beta), p.label_smoothing));
  },
});
