import { choice, defineRecipe, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggregate } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { softmaxOver } from "../rl/softmax.ts";

export default defineRecipe({
  id: "egsw",
  paper: {
    title: "Entropy-guided sequence weighting for efficient exploration in RL-based LLM fine-tuning",
    arxiv: "2503.22456",
  },
  stage: ["objective", "advantage"],
  describe: `A softmax over the group of advantage plus entropy weighs each rollout's advantage, or in step mode each
token's among the rollouts that are still running at its position: good and uncertain ones dominate. Weights are
constants and sum to 1 over the group (no rescaling by its size was seen); a group of one has 1. No KL.
alpha and P were not read; the defaults are ours.`,
  formula: "w = softmax over the group of (A + alpha·H)/P; loss = −(1/N) Σ_i (1/T_i) Σ_t w·min(ρA, clip(ρ)A)",
  params: {
    mode: choice("trajectory", ["trajectory", "step"], "one weight a rollout (of its mean entropy) or one a token"),
    alpha: number(0.5, "weight of the entropy", { min: 0 }),
    P: number(1, "temperature: large gives equal weights, small the best alone", { min: 1e-9 }),
    adv_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    std: choice("sample", ["sample", "population"], "divisor of the variance: n − 1 or n"),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    agg: choice("seq-mean-token-mean", AGGREGATIONS, "how token losses become one number"),
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.adv_eps, ddof: p.std === "sample" ? 1 : 0 }),
  weight: (c, p) => {
    if (p.mode === "trajectory") {
      const entropy = c.entropy.meanOver(c.trajectory, c.mask);
      return softmaxOver(c.advantage.add(entropy.mul(p.alpha)).div(p.P), c.group).to(c.token);
    }
    const position = c.number(1, c.token).positionOver(c.trajectory).values();
    const peers = c.keyed("position", c.token, c.token.edge(c.group).index, position);
    return softmaxOver(c.advantage.add(c.entropy.mul(p.alpha)).div(p.P), peers, c.mask);
  },
  kl: none,
  aggregate: (c, loss, p) => aggregate(c, loss, p.agg),
});
