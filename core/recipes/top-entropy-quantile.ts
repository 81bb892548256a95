import { defineRecipe, none, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { quantileWhere } from "../rl/filter.ts";

export default defineRecipe({
  id: "top-entropy-quantile",
  paper: {
    title:
      "Beyond the 80/20 Rule: High-Entropy Minority Tokens Drive Effective Reinforcement Learning for LLM Reasoning",
    arxiv: "2506.01939",
  },
  stage: ["filter"],
  describe: `DAPO's objective on the tokens of highest entropy alone: those at or above the batch's quantile. The others
lose their gradient and stay in the divisor. Share 1 keeps all, share 0 the maximum. The paper recommends 0.2.`,
  formula: "keep = m·[H·m ≥ quantile of H at 1 − share]; loss = Σ m·keep·ℓ / Σ m",
  params: {
    top_entropy_quantile: number(1, "share of tokens that are kept", { min: 0, max: 1 }),
    eps_hi: number(0.28, "clip range above 1", { min: 0 }),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
  },
  filter: (c, p) => {
    const threshold = quantileWhere(c, c.entropy, c.mask, 1 - p.top_entropy_quantile);
    return { keepToken: c.mask.mul(c.entropy.mul(c.mask).ge(threshold)) };
  },
  kl: none,
  aggregate: tokenMean,
});
