import { choice, defineRecipe, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggLoss } from "../rl/aggregate.ts";
import { centred, keepSingles } from "../rl/baseline.ts";
import { score } from "../rl/gate.ts";

export default defineRecipe({
  id: "gpg",
  paper: {
    title: "GPG: A Simple and Strong Reinforcement Learning Baseline for Model Reasoning",
    source: "verl verl/trainer/ppo/core_algos.py (gpg)",
  },
  stage: ["advantage", "objective"],
  describe: `Centred rewards, scaled up by the share of rewarded samples so that a batch with few successes still moves, and
plain REINFORCE: no ratio, no clip, no KL. A quirk of the code, followed here: rewards that are not 0 count, where the
paper counts groups with a signal. A group of one has mean 0.`,
  formula: "A_i = α(R_i − mean_g)/f_norm, α = N/max(1, #{R ≠ 0}); loss = agg(−A·lp)",
  params: {
    f_norm: number(1, "divisor of the advantage", { min: 1e-12 }),
    agg: choice("token-mean", AGGREGATIONS, "how token losses become one number"),
  },
  advantage: (c, p) => {
    const alpha = c.number(c.trajectory.size).div(c.reward.ne(0).sumOver(c.all).max(1));
    return keepSingles(c.reward, c.group, centred(c.reward, c.group)).mul(alpha).div(p.f_norm);
  },
  ratio: none,
  gate: (c) => score(c, c.advantage),
  kl: none,
  aggregate: (c, loss, p) => aggLoss(c, loss, p.agg),
});
