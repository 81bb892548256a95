import { defineRecipe, number } from "../recipe.ts";
import { NEEDS_PAIRS, pairMean, pairScores } from "../rl/preference.ts";

export default defineRecipe({
  id: "sppo-hard",
  paper: {
    title: "Self-Play Preference Optimization for Language Model Alignment",
    source: "huggingface/trl@f2cd577 trl/trainer/dpo_trainer.py",
  },
  stage: ["preference"],
  describe: `Self-play against the last policy as a game of constant sum: h of a sure winner is regressed to
1/(2·beta), that of a sure loser to −1/(2·beta). Pairs are given; the judge that makes them is not part of it.`,
  formula: "loss = mean of (h_w − 1/(2·beta))² + (h_l + 1/(2·beta))², h = Σ_t (lp − lp_ref)",
  params: { beta: number(0.1, "strength of the pull to the reference", { min: 1e-9 }) },
  trains: NEEDS_PAIRS,
  loss: (c, p) => {
    const { w, l } = pairScores(c);
    const target = 1 / (2 * p.beta);
    return pairMean(w.sub(target).square().add(l.add(target).square()));
  },
});
