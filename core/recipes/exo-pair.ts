import { defineRecipe, number } from "../recipe.ts";
import { NEEDS_PAIRS, pairMean, pairScores } from "../rl/preference.ts";
import { log } from "../rl/scalar.ts";

export default defineRecipe({
  id: "exo-pair",
  paper: {
    title: "Towards Efficient Exact Optimization of Language Model Alignment",
    source: "huggingface/trl@f2cd577 trl/trainer/dpo_trainer.py",
  },
  stage: ["preference"],
  describe: `Pairs, no rollouts. The policy's preference q over the pair is moved to the smoothed label by the reverse
KL, where DPO uses the forward one.`,
  formula: "q = σ(beta·Δ); loss = mean of q(ln q − ln(1−ε)) + (1−q)(ln(1−q) − ln ε)",
  params: {
    beta: number(0.1, "strength of the pull to the reference", { min: 0 }),
    label_smoothing: number(0.001, "share of pairs whose label is wrong", { min: 1e-12, max: 0.5 }),
  },
  trains: NEEDS_PAIRS,
  loss: (c, p) => {
    const { delta } = pairScores(c);
    const x = delta.mul(p.beta);
    const chosen = x.sigmoid().mul(x.logSigmoid().sub(log(1 - p.label_smoothing)));
    const rejected = x
      .neg()
      .sigmoid()
      .mul(x.neg().logSigmoid().sub(log(p.label_smoothing)));
    return pairMean(chosen.add(rejected));
  },
});
