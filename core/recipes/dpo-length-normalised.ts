import { defineRecipe, number } from "../recipe.ts";
import { implicitReward, NEEDS_PAIRS, pairMean, pairScores } from "../rl/preference.ts";

export default defineRecipe({
  id: "dpo-length-normalised",
  paper: { title: "TRL sigmoid_norm", source: "huggingface/trl@f2cd577 trl/trainer/dpo_trainer.py" },
  stage: ["preference"],
  describe: `DPO on implicit rewards divided by the completion's token count, so that a longer answer has no larger
margin by its length alone.`,
  formula: "loss = mean of −ln σ(beta·Δ), h = Σ_t (lp − lp_ref) / Σ_t m",
  params: { beta: number(0.1, "strength of the pull to the reference", { min: 0 }) },
  trains: NEEDS_PAIRS,
  loss: (c, p) => {
    const { delta } = pairScores(c, implicitReward(c).div(c.trained));
    return pairMean(delta.mul(p.beta).logSigmoid().neg());
  },
});
