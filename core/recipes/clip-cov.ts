import { choice, defineRecipe, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggLoss } from "../rl/aggregate.ts";
import { covariance } from "../rl/entropy.ts";
import { drawn } from "../rl/filter.ts";
import { ppoClip } from "../rl/gate.ts";
import { tokenRatio } from "../rl/ratio.ts";

export default defineRecipe({
  id: "clip-cov",
  paper: {
    title: "The Entropy Mechanism of Reinforcement Learning for Reasoning Language Models",
    source: "verl verl/trainer/ppo/core_algos.py",
  },
  stage: ["filter", "objective"],
  describe: `Tokens with a high covariance of advantage and log-probability drain the entropy: a random few of those that PPO
does not clip lose their gradient. They stay in the divisor. The draw is by a hash of a token's numbers, the same in any
order of trajectories. Log-ratios clamped to ±20; the advantage is plain GRPO's, no KL term.`,
  formula: "cov = (A − mean A)(lp − mean lp); max(1, ratio·Σm) tokens with cov_lo < cov < cov_hi get factor 0",
  params: {
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    ratio: number(0.0002, "share of the trained tokens that is drawn", { min: 0 }),
    cov_lo: number(1, "candidates lie above"),
    cov_hi: number(5, "and below"),
    agg: choice("token-mean", AGGREGATIONS, "how token losses become one number"),
  },
  ratio: (c) => tokenRatio(c, { limit: 20 }),
  gate: (c, ratio, p) => {
    const loss = ppoClip(c, ratio, c.advantage, { lo: p.eps_lo, hi: p.eps_hi });
    const clipped = loss.gt(ratio.mul(c.advantage).neg()).stop();
    const cov = covariance(c, c.advantage);
    const candidates = c.mask.mul(clipped.not()).mul(cov.gt(p.cov_lo)).mul(cov.lt(p.cov_hi));
    const n = Math.max(1, Math.floor(p.ratio * c.mask.sumOver(c.all).value()));
    return loss.mul(drawn(c, candidates, n, c.logp, c.advantage).not());
  },
  kl: none,
  aggregate: (c, loss, p) => aggLoss(c, loss, p.agg),
});
