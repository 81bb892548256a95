import { defineRecipe, number } from "../recipe.ts";
import { NEEDS_PAIRS, pairMean, pairScores } from "../rl/preference.ts";

export default defineRecipe({
  id: "apo-down",
  paper: {
    title: "Anchored Preference Optimization and Contrastive Revisions: Addressing Underspecification in Alignment",
    source: "huggingface/trl@f2cd577 trl/trainer/dpo_trainer.py",
  },
  stage: ["preference"],
  describe: `Pairs, no rollouts. For a policy that is better than the chosen answers: both are pushed down, the
rejected one more, each through a sigmoid that saturates.`,
  formula: "loss = mean of σ(beta·h_w) + 1 − σ(beta·Δ), h = Σ_t (lp − lp_ref), Δ = h_w − h_l",
  params: { beta: number(0.1, "strength of the pull to the reference", { min: 0 }) },
  trains: NEEDS_PAIRS,
  loss: (c, p) => {
    const { w, delta } = pairScores(c);
    return pairMean(w.mul(p.beta).sigmoid().add(delta.mul(p.beta).sigmoid().not()));
  },
});
