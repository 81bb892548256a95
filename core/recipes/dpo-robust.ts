import { defineRecipe, number } from "../recipe.ts";
import { NEEDS_PAIRS, pairMean, pairScores } from "../rl/preference.ts";

export default defineRecipe({
  id: "dpo-robust",
  paper: {
    title: "Provably Robust DPO: Aligning Language Models with Noisy Feedback",
    source: "huggingface/trl@f2cd577 trl/trainer/dpo_trainer.py",
  },
  stage: ["preference"],
  describe: `DPO for noisy labels, unbiased: the turned pair is subtracted and the sum scaled, so that in expectation
over the noise the loss is that of clean labels. Not bounded below.`,
  formula: "loss = mean of [−(1−ε) ln σ(beta·Δ) + ε ln σ(−beta·Δ)] / (1 − 2ε)",
  params: {
    beta: number(0.1, "strength of the pull to the reference", { min: 0 }),
    label_smoothing: number(0.1, "share of pairs whose label is wrong", { min: 0, max: 0.499 }),
  },
  trains: NEEDS_PAIRS,
  loss: (c, p) => {
    const { delta } = pairScores(c);
    const x = delta.mul(p.beta);
    const turned = x.neg().logSigmoid().mul(p.label_smoothing);
    const straight = x.logSigmoid().mul(1 - p.label_smoothing);
    return pairMean(turned.sub(straight).div(1 - 2 * p.label_smoothing));
  },
});
