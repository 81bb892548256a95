import { choice, defineRecipe, number } from "../recipe.ts";
import { implicitReward, NEEDS_PAIRS, pairMean, pairScores } from "../rl/preference.ts";

export default defineRecipe({
  id: "dpo-alpha-divergence",
  paper: {
    title: "Beyond Reverse KL: Generalizing Direct Preference Optimization with Diverse Divergence Constraints",
    source: "huggingface/trl@f2cd577 trl/trainer/dpo_trainer.py",
  },
  stage: ["preference"],
  describe: `DPO under an alpha-divergence from the reference; alpha 1 is DPO itself. The exponent is clamped to at
most 80, with no gradient beyond.`,
  formula: "loss = mean of −ln σ(beta·(s_w − s_l)), s(h) = exp((α−1)·h)/(α−1)",
  params: {
    beta: number(0.1, "strength of the pull to the reference", { min: 0 }),
    f: choice("alpha_divergence", ["alpha_divergence"], "divergence from the reference"),
    f_alpha: number(0.5, "alpha of the divergence; 1: reverse KL"),
  },
  trains: NEEDS_PAIRS,
  loss: (c, p) => {
    const h = implicitReward(c);
    const { delta } = pairScores(
      c,
      p.f_alpha === 1
        ? h
        : h
            .mul(p.f_alpha - 1)
            .min(80)
            .exp()
            .div(p.f_alpha - 1),
    );
    return pairMean(delta.mul(p.beta).logSigmoid().neg());
  },
});
