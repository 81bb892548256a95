import { defineRecipe, optional } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { weightedScore } from "../rl/gate.ts";

export default defineRecipe({
  id: "cispo",
  paper: {
    title: "MiniMax-M1: Scaling Test-Time Compute Efficiently with Lightning Attention",
    arxiv: "2506.13585",
  },
  stage: ["advantage", "objective"],
  describe: `The ratio is clipped and stop-gradiented, a mere weight of the log-probability, so that no token loses its
gradient. The bounds are those of the ratio itself, not 1 ± eps (TRL; verl and slime write 1 ± eps).
The loss value contains lp and is no surrogate of the reward: only its gradient means something.`,
  formula: "loss = −Σ m·sg(clip(ρ, w_lo, w_hi))·A·lp / Σ m",
  params: {
    w_lo: optional(null, "lower bound of the ratio; null: none", { min: 0 }),
    w_hi: optional(5, "upper bound of the ratio; null: none", { min: 0 }),
  },
  gate: (c, ratio, p) => weightedScore(c, ratio, c.advantage, p.w_lo, p.w_hi),
  aggregate: tokenMean,
});
