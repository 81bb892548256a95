import { choice, defineRecipe, number } from "../recipe.ts";

export default defineRecipe({
  id: "pf-ppo-verl",
  paper: {
    title: "Policy Filtration in RLHF to Fine-Tune LLM for Code Generation",
    source: "verl-project/verl@1dda039 verl/trainer/ppo/core_algos.py",
  },
  stage: ["filter"],
  describe: `An option: each trajectory of the batch weighs by a function of its reward, over the whole batch and not a
group. verl draws a batch with replacement by sampling_weight; here each trajectory is weighted by how often it is
expected to be drawn, N times that.`,
  formula:
    "w = |R|^power; 1 for the extremes of the batch, else 0; or 0.4 for the maximum, else 0.1; sampling_weight = (w + 1e-8)/Σ",
  params: {
    method: choice("pow", ["pow", "max_min", "max_random"], "how rewards become weights"),
    power: number(2, "exponent of pow", { min: 0 }),
  },
  option: true,
  weight: (c, p) => {
    const R = c.reward;
    const top = R.eq(R.maxOver(c.all));
    const weight = {
      pow: () => R.abs().pow(p.power),
      max_min: () => top.or(R.eq(R.minOver(c.all))),
      max_random: () => top.where(0.4, c.number(0.1, c.trajectory)),
    }
      [p.method]()
      .add(1e-8);
    const share = weight.div(weight.sumOver(c.all));
    c.output("sampling_weight", share);
    return share.mul(c.trajectory.size);
  },
});
