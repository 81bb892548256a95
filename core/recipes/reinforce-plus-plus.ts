import { defineRecipe, none, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { whiten } from "../rl/baseline.ts";
import { returns, tokenReward } from "../rl/credit.ts";

export default defineRecipe({
  id: "reinforce-plus-plus",
  paper: {
    title: "REINFORCE++: An Efficient RLHF Algorithm with Robustness to Both Prompt and Reward Models",
    arxiv: "2501.03262",
  },
  stage: ["reward", "advantage", "objective"],
  describe: `No group: token rewards (the outcome on the last trained token, less the KL to the reference on each) are
summed to discounted returns and whitened over all trained tokens of the batch, with verl's n − 1 variance.
PPO clip, mean over tokens, no KL term in the loss. The paper has the KL penalty inside the reward; here its coefficient beta
is 0 by default. A single trained token in the batch has advantage 0.`,
  formula: "G_t = r_t + gamma·G_{t+1}; A = (G − μ)/sqrt(σ² + 1e-8) over the batch's tokens",
  params: {
    gamma: number(1, "discount of a token", { min: 0, max: 1 }),
    beta: number(0, "coefficient of lp_old − lp_ref inside the token reward", { min: 0 }),
  },
  advantage: (c, p) => {
    const g = returns(c, tokenReward(c, p.beta), p.gamma);
    c.output("return", g);
    return whiten(c, g);
  },
  kl: none,
  aggregate: tokenMean,
});
