import { defineRecipe, number } from "../recipe.ts";
import { NEEDS_PAIRS, pairMean, pairScores } from "../rl/preference.ts";

export default defineRecipe({
  id: "dpo-hinge",
  paper: {
    title: "SLiC-HF: Sequence Likelihood Calibration with Human Feedback",
    source: "huggingface/trl@f2cd577 trl/trainer/dpo_trainer.py",
  },
  stage: ["preference"],
  describe: `DPO's margin under the hinge of SLiC-HF: pairs that are apart by more than 1/beta give no gradient (nor
does the corner itself).`,
  formula: "loss = mean of max(0, 1 − beta·Δ)",
  params: { beta: number(0.1, "strength of the pull to the reference", { min: 0 }) },
  trains: NEEDS_PAIRS,
  loss: (c, p) => {
    const { delta } = pairScores(c);
    return pairMean(c.number(0).max(delta.mul(-p.beta).add(1)));
  },
});
