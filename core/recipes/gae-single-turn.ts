import { defineRecipe, number } from "../recipe.ts";
import { tokenReward } from "../rl/credit.ts";

export default defineRecipe({
  id: "gae-single-turn",
  paper: {
    title: "High-Dimensional Continuous Control Using Generalized Advantage Estimation",
    source: "OpenRLHF/OpenRLHF@3c3be62 experience_maker.py",
  },
  stage: ["advantage"],
  describe: `An option: advantages from a value head, where tokens with mask 0 are not stepped over but have value and
reward 0 (OpenRLHF, ROLL): with tool tokens in the middle it bootstraps from 0. Not whitened, not multiplied by the
mask.`,
  formula: "δ_t = m·r_t + gamma·(mV)_{t+1} − (mV)_t; A_t = δ_t + gamma·lam·A_{t+1}; return = A + mV",
  params: {
    gamma: number(1, "discount of a token", { min: 0, max: 1 }),
    lam: number(1, "trace decay: 0 one step, 1 Monte Carlo", { min: 0, max: 1 }),
  },
  trains: { supply: { value: "value" } },
  option: true,
  advantage: (c, p) => {
    const value = c.value.mul(c.mask);
    const next = value.shift(c.trajectory, -1).mul(p.gamma);
    const delta = tokenReward(c).mul(c.mask).add(next).sub(value);
    const advantage = delta.recur(c.trajectory, "backward", p.gamma * p.lam);
    c.output("return", advantage.add(value));
    c.carry("return", advantage.add(value));
    return advantage;
  },
});
