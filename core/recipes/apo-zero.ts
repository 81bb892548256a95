import { defineRecipe, number } from "../recipe.ts";
import { NEEDS_PAIRS, pairMean, pairScores } from "../rl/preference.ts";

export default defineRecipe({
  id: "apo-zero",
  paper: {
    title: "Anchored Preference Optimization and Contrastive Revisions: Addressing Underspecification in Alignment",
    source: "huggingface/trl@f2cd577 trl/trainer/dpo_trainer.py",
  },
  stage: ["preference"],
  describe: `Pairs, no rollouts. For a policy that is worse than the chosen answers: the chosen goes up, the rejected
down, each against the reference alone and through a sigmoid that saturates.`,
  formula: "loss = mean of 1 − σ(beta·h_w) + σ(beta·h_l), h = Σ_t (lp − lp_ref)",
  params: { beta: number(0.1, "strength of the pull to the reference", { min: 0 }) },
  trains: NEEDS_PAIRS,
  loss: (c, p) => {
    const { w, l } = pairScores(c);
    return pairMean(w.mul(p.beta).sigmoid().not().add(l.mul(p.beta).sigmoid()));
  },
});
