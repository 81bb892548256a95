import { defineRecipe, flag, number } from "../recipe.ts";
import { positionBaseline } from "../rl/baseline.ts";
import { tokenReward } from "../rl/credit.ts";

export default defineRecipe({
  id: "optimal-token-baseline",
  paper: {
    title: "Optimal token baseline (verl docs/algo/otb.md)",
    source: "verl-project/verl@1dda039 verl/trainer/ppo/core_algos.py",
  },
  stage: ["advantage"],
  describe: `An option: in place of one baseline a prompt, one for each position, the group's mean of returns weighted
by the energy (squared norm of the score, from probabilities alone) that each trajectory has gathered so far. With
rollout weights (field weight) the energy is multiplied by their square. A group of one has baseline 0.`,
  formula:
    "w = 1 − 2π + Σπ², W_t = Σ_{u≤t} m·w_u; B_t = Σ_j G_{j,t}W_{j,t}m / Σ_j W_{j,t}m over the group; A = (G − B)m",
  params: {
    zero_tail: flag(true, "no baseline where one trajectory has outlived the others of its group"),
    epsilon: number(1e-8, "added to the divisor", { min: 0 }),
  },
  fields: { sum_pi_sq: "token" },
  trains: { supply: { sum_pi_sq: "collision" } },
  option: true,
  advantage: (c, p) => {
    const toGo = tokenReward(c).mul(c.mask).cumulate(c.trajectory, "backward");
    const probability = c.logpOld.exp();
    const energy = c.field("sum_pi_sq").sub(probability.mul(2)).add(1);
    const square = c.optional("weight")?.square() ?? 1;
    const baseline = positionBaseline(c, toGo, {
      place: c.mask.positionOver(c.trajectory),
      weight: energy.mul(square).mul(c.mask).cumulate(c.trajectory),
      present: c.number(1, c.trajectory),
      zeroTail: p.zero_tail,
      eps: p.epsilon,
    });
    c.output("return", toGo);
    return toGo.sub(baseline).mul(c.mask);
  },
});
