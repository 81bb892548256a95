import { defineRecipe, flag } from "../recipe.ts";
import { positionBaseline } from "../rl/baseline.ts";
import { tokenReward } from "../rl/credit.ts";

export default defineRecipe({
  id: "optimal-token-baseline-multiturn",
  paper: {
    title: "Optimal token baseline (verl docs/algo/otb.md)",
    source: "verl-project/verl@1dda039 verl/trainer/ppo/core_algos.py",
  },
  stage: ["advantage"],
  describe: `An option: as optimal-token-baseline, positions counted over generated tokens alone, so that turns of the
environment do not shift trajectories against each other. All-masked trajectories leave the group; one left alone has
baseline 0.`,
  formula: "B_k = Σ_j G_{j,k}W_{j,k} / Σ_j W_{j,k}, k the count of generated tokens before; A = (G − B)m",
  params: { zero_tail: flag(true, "no baseline where one trajectory has outlived the others of its group") },
  fields: { sum_pi_sq: "token" },
  trains: { supply: { sum_pi_sq: "collision" } },
  option: true,
  advantage: (c, p) => {
    const toGo = tokenReward(c).mul(c.mask).cumulate(c.trajectory, "backward");
    const probability = c.logpOld.exp();
    const energy = c.field("sum_pi_sq").sub(probability.mul(2)).add(1);
    const square = c.optional("weight")?.square() ?? 1;
    const baseline = positionBaseline(c, toGo, {
      place: c.mask.cumulate(c.trajectory).sub(1),
      weight: energy.mul(square).mul(c.mask).cumulate(c.trajectory),
      present: c.trained.gt(0),
      zeroTail: p.zero_tail,
      eps: 1e-8,
    });
    c.output("return", toGo);
    return toGo.sub(baseline).mul(c.mask);
  },
});
