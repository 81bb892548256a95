import { defineRecipe, number, optional } from "../recipe.ts";
import { gae, onLastToken } from "../rl/credit.ts";

export default defineRecipe({
  id: "vapo-gae",
  paper: {
    title: "VAPO: Efficient and Reliable Reinforcement Learning for Advanced Reasoning Tasks",
    source: "NVIDIA-NeMo/RL@7ea279a nemo_rl/algorithms/advantage_estimator.py",
  },
  stage: ["advantage"],
  describe: `An option: the critic's targets have one trace decay, the policy's advantages another, which grows with
the length of the trajectory, so that the last reward reaches the first tokens of long ones too. Outcome reward on the
last trained token; masked tokens are stepped over; not whitened.`,
  formula:
    "λ_i = 1 − 1/max(1, alpha·T_i) (alpha 0: lam_policy, else lam); advantage = GAE(λ_i), return = GAE(lam_value) + V",
  params: {
    gamma: number(1, "discount of a token", { min: 0, max: 1 }),
    lam: number(0.95, "trace decay where nothing else says", { min: 0, max: 1 }),
    lam_value: number(1, "trace decay of the critic's targets", { min: 0, max: 1 }),
    lam_policy: optional(null, "trace decay of the policy where alpha is 0; null: lam", { min: 0, max: 1 }),
    alpha: number(0.05, "growth of the decay with the length; 0: none", { min: 0 }),
  },
  trains: { supply: { value: "value" } },
  option: true,
  advantage: (c, p) => {
    const reward = onLastToken(c, c.reward);
    const grown = c.trained.mul(p.alpha).max(1);
    const lambda = p.alpha > 0 ? c.number(1).sub(c.number(1).div(grown)) : (p.lam_policy ?? p.lam);
    const { returns } = gae(c, reward, c.value, p.gamma, p.lam_value);
    c.output("return", returns);
    c.carry("return", returns);
    return gae(c, reward, c.value, p.gamma, lambda).advantage;
  },
});
