import { choice, defineRecipe, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggLoss } from "../rl/aggregate.ts";
import { covariance } from "../rl/entropy.ts";
import { largest } from "../rl/filter.ts";
import { logRatio } from "../rl/ratio.ts";

export default defineRecipe({
  id: "kl-cov",
  paper: {
    title: "The Entropy Mechanism of Reinforcement Learning for Reasoning Language Models",
    source: "verl-project/verl@1dda039 verl/trainer/ppo/core_algos.py",
  },
  stage: ["objective"],
  describe: `No clip: the few tokens with the largest covariance of advantage and log-probability, those that collapse
the entropy, get a penalty on their log-ratio; the choice has no gradient.`,
  formula: "ℓ = −ρA + kl_coef·|lp − lp_old|·[token among the max(1, ⌊ratio·Σm⌋) of largest covariance]",
  params: {
    ratio: number(0.0002, "share of tokens that are penalised", { min: 0, max: 1 }),
    kl_coef: number(1, "weight of the penalty", { min: 0 }),
    agg: choice("token-mean", AGGREGATIONS, "how token losses become one number"),
  },
  gate: (c, ratio, p) => {
    const count = Math.max(1, Math.floor(p.ratio * c.mask.sumOver(c.all).value()));
    const chosen = largest(c, covariance(c, c.advantage), count, c.all, c.mask);
    return chosen.mul(logRatio(c).abs()).mul(p.kl_coef).sub(ratio.mul(c.advantage));
  },
  kl: none,
  aggregate: (c, loss, p) => aggLoss(c, loss, p.agg),
});
