import { defineRecipe, none, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { untilMeanBelow } from "../rl/filter.ts";
import { mismatch } from "../rl/mismatch.ts";

export default defineRecipe({
  id: "m2po",
  paper: {
    title: "Prosperity before Collapse: How Far Can Off-Policy RL Reach with Stale Data on LLMs?",
    source: "AReaL areal/trainer/ppo/actor.py",
  },
  stage: ["filter", "objective"],
  describe: `The tokens with the largest squared log-ratio between behaviour and proximal policy are masked, as few as needed
for the second moment of the rest to fall below a threshold; where it never does, the smallest alone stays. Masked
tokens leave the divisor. PPO clip round the proximal policy, token mean, no KL term.`,
  formula:
    "drop the fewest largest (lp_rollout − lp_old)² so that mean of the rest < m2_threshold; loss = Σ m·keep·ℓ / Σ m·keep",
  params: {
    m2_threshold: number(0.04, "bound of the second moment", { min: 0 }),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
  },
  filter: (c, p) => ({ keepToken: untilMeanBelow(c, mismatch(c).square(), p.m2_threshold), leftOut: true }),
  kl: none,
  aggregate: tokenMean,
});
