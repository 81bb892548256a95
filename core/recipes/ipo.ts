import { defineRecipe, number } from "../recipe.ts";
import { implicitReward, NEEDS_PAIRS, pairMean, pairScores } from "../rl/preference.ts";

export default defineRecipe({
  id: "ipo",
  paper: {
    title: "A General Theoretical Paradigm to Understand Learning from Human Preferences",
    source: "huggingface/trl@f2cd577 trl/trainer/dpo_trainer.py",
  },
  stage: ["preference"],
  describe: `DPO with a squared loss: the margin is regressed to 1/(2·beta) and not driven to infinity. h is divided by
the completion's token count (TRL, AReaL); OpenRLHF takes the sum.`,
  formula: "loss = mean of (Δ − 1/(2·beta))², h = Σ_t (lp − lp_ref) / Σ_t m",
  params: { beta: number(0.1, "strength of the pull to the reference", { min: 1e-9 }) },
  trains: NEEDS_PAIRS,
  loss: (c, p) => {
    const { delta } = pairScores(c, implicitReward(c).div(c.trained));
    return pairMean(delta.sub(1 / (2 * p.beta)).square());
  },
});
