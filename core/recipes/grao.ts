import { defineRecipe, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";
import { ALL } from "../rl/level.ts";
import { meanLogp } from "../rl/preference.ts";

export default defineRecipe({
  id: "grao",
  paper: {
    title: "Learning to Align, Aligning to Learn: A Unified Approach for Self-Optimized Alignment",
    arxiv: "2508.07750",
  },
  stage: ["objective", "advantage"],
  describe: `Imitation of a reference answer and exploration in one advantage-weighted likelihood: no ratio, no clip, no
KL. The reference is a member of the group (demo true) and takes part in its mean and deviation; a third term widens or
narrows the gap between own answers and the reference by the own answer's advantage.`,
  formula: "loss = −mean_q (1/G) Σ_i [A_i J(o_i) + beta·A_y J(y) + lambda·A_i (J(o_i) − J(y))], J = mean_t lp",
  params: {
    beta: number(0.5, "weight of imitation"),
    lambda: number(0.6, "weight of the gap"),
    std_eps: number(1e-8, "added to the group's population deviation", { min: 0 }),
  },
  fields: { demo: "trajectory" },
  trains: { supply: { demo: "demonstration" } },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.std_eps, ddof: 0 }),
  loss: (c, p) => {
    const reference = c.field("demo");
    const own = reference.not();
    const J = meanLogp(c);
    const Jy = J.mul(reference).sumOver(c.group).div(reference.sumOver(c.group));
    const Ay = c.advantage.mul(reference).sumOver(c.group).div(reference.sumOver(c.group));
    const gap = J.sub(Jy).mul(p.lambda);
    const each = c.advantage.mul(J.add(gap)).add(Ay.mul(Jy).mul(p.beta));
    return each.meanOver(c.group, own).meanOver(ALL).neg();
  },
});
