import { choice, defineRecipe, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggLoss } from "../rl/aggregate.ts";
import { probabilityTrust, weightedScore } from "../rl/gate.ts";

export default defineRecipe({
  id: "dppo-tv",
  paper: {
    title: "Rethinking the Trust Region in LLM Reinforcement Learning",
    arxiv: "2602.04879",
    source: "verl verl/trainer/ppo/core_algos.py",
  },
  stage: ["objective"],
  describe: `The trust region is one of probability and not of ratio: a token is dropped if its probability has moved further
than delta in the direction its advantage pushes, so that rare tokens keep their gradient at ratios where PPO clips.
The ratio, capped, is a weight without gradient. The advantage is plain GRPO's, no KL term.`,
  formula: "ℓ = −A·sg(min(ρ, ratio_cap)·valid)·lp; valid: A > 0: p − q ≤ delta_hi, else p − q ≥ −delta_lo",
  params: {
    delta_lo: number(0.2, "largest fall in probability", { min: 0 }),
    delta_hi: number(0.2, "largest rise in probability", { min: 0 }),
    ratio_cap: number(20, "largest weight", { min: 0 }),
    agg: choice("token-mean", AGGREGATIONS, "how token losses become one number"),
  },
  gate: (c, ratio, p) =>
    weightedScore(c, ratio, c.advantage, null, p.ratio_cap).mul(
      probabilityTrust(c, c.logpOld, { lo: p.delta_lo, hi: p.delta_hi }),
    ),
  kl: none,
  aggregate: (c, loss, p) => aggLoss(c, loss, p.agg),
});
