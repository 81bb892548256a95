import { choice, defineRecipe, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggLoss } from "../rl/aggregate.ts";
import { dualClip } from "../rl/gate.ts";
import { tokenRatio } from "../rl/ratio.ts";

export default defineRecipe({
  id: "dual-clip",
  paper: {
    title: "Mastering Complex Control in MOBA Games with Deep Reinforcement Learning",
    source: "verl verl/trainer/ppo/core_algos.py",
  },
  stage: ["objective"],
  describe: `PPO's clip leaves the loss of a bad action unbounded where the ratio is large; here it is at most dual times
the advantage, without gradient beyond. On by default in verl (3), off in OpenRLHF, slime, NeMo-RL. Log-ratios clamped
to ±20, token mean, no KL term.`,
  formula: "ℓ = A < 0: min(ℓ_ppo, −dual·A), else ℓ_ppo; ℓ_ppo = −min(ρA, clip(ρ, 1−eps_lo, 1+eps_hi)A)",
  params: {
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    dual: number(3, "bound of the ratio where A < 0", { min: 1 }),
    agg: choice("token-mean", AGGREGATIONS, "how token losses become one number"),
  },
  ratio: (c) => tokenRatio(c, { limit: 20 }),
  gate: (c, ratio, p) => dualClip(c, ratio, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }, p.dual),
  kl: none,
  aggregate: (c, loss, p) => aggLoss(c, loss, p.agg),
});
