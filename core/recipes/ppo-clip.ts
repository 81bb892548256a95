import { choice, defineRecipe, number } from "../recipe.ts";
import { AGGREGATIONS, aggLoss } from "../rl/aggregate.ts";
import { ppoClip } from "../rl/gate.ts";
import { tokenRatio } from "../rl/ratio.ts";

export default defineRecipe({
  id: "ppo-clip",
  paper: { title: "Proximal Policy Optimization Algorithms", arxiv: "1707.06347" },
  stage: ["objective"],
  describe: `An option: the clipped surrogate alone, on advantages that the batch or another option brings. The log-ratio of
a token is clamped to ±20 as in verl, with no gradient beyond.`,
  formula: "−min(ρA, clip(ρ, 1−eps_lo, 1+eps_hi)·A)",
  params: {
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    agg: choice("token-mean", AGGREGATIONS, "how token losses become one number"),
  },
  option: true,
  ratio: (c) => tokenRatio(c, { limit: 20 }),
  gate: (c, ratio, p) => ppoClip(c, ratio, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }),
  aggregate: (c, loss, p) => aggLoss(c, loss, p.agg),
});
