import { defineRecipe, number } from "../recipe.ts";
import { whiten } from "../rl/baseline.ts";
import { gae, tokenReward } from "../rl/credit.ts";

export default defineRecipe({
  id: "ppo-gae",
  paper: {
    title: "High-Dimensional Continuous Control Using Generalized Advantage Estimation",
    arxiv: "1506.02438",
  },
  stage: ["advantage"],
  describe: `An option: advantages from a value head in place of a group. Tokens with mask 0 are stepped over (verl, NeMo):
the recursion takes the value and advantage of the next trained token. Whitened over the batch's trained tokens.`,
  formula: "δ_t = r_t + gamma·V_{t+1} − V_t; A_t = δ_t + gamma·lam·A_{t+1}",
  params: {
    gamma: number(1, "discount of a token", { min: 0, max: 1 }),
    lam: number(1, "trace decay: 0 one step, 1 Monte Carlo", { min: 0, max: 1 }),
  },
  trains: { supply: { value: "value" } },
  option: true,
  advantage: (c, p) => {
    const { advantage, returns } = gae(c, tokenReward(c), c.value, p.gamma, p.lam);
    c.output("return", returns);
    c.carry("return", returns);
    return whiten(c, advantage);
  },
});
