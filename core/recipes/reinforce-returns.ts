import { defineRecipe, none, number } from "../recipe.ts";
import { tokenReward } from "../rl/credit.ts";
import { score } from "../rl/gate.ts";

export default defineRecipe({
  id: "reinforce-returns",
  paper: {
    title: "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning",
    source: "OpenRLHF openrlhf/trainer/ppo_utils/experience_maker.py",
  },
  stage: ["advantage"],
  describe: `The advantage of a token is its discounted reward-to-go, without any baseline or group; the loss is REINFORCE's. The
discount runs over masked tokens too (verl's REINFORCE++ carries the return unchanged over them). Without token rewards
the outcome stands on the last trained token.`,
  formula: "G_t = m·r_t + gamma·G_{t+1}; A_t = m·G_t; ℓ = −A·lp",
  params: { gamma: number(1, "discount of a token", { min: 0, max: 1 }) },
  advantage: (c, p) => {
    const G = c.mask.mul(tokenReward(c)).recur(c.trajectory, "backward", p.gamma).mul(c.mask);
    c.output("return", G);
    return G;
  },
  ratio: none,
  gate: (c) => score(c, c.advantage),
  kl: none,
});
