import { choice, defineRecipe, number } from "../recipe.ts";
import type { Vec } from "../rl/vec.ts";

export default defineRecipe({
  id: "pf-ppo",
  paper: { title: "Policy Filtration in RLHF to Fine-Tune LLM for Code Generation", arxiv: "2409.06957" },
  stage: ["filter", "sampler"],
  describe: `An option: of a prompt's responses those count whose reward the reward model can be trusted with, the best and the
worst, or the best and the rest a little. The authors resample the buffer by sampling_weight; here the weights multiply the
policy term, which is the same in expectation. Ties: the first is the worst, the last the best. Scope batch is verl's port.`,
  formula: "best-worst: 1 for max and min, else 0; best-random: 0.4 for the max, else 0.1; pow: |R|^power + floor",
  params: {
    method: choice("best-worst", ["best-worst", "best-random", "best-of-n", "pow"], "how responses are weighted"),
    scope: choice("group", ["group", "batch"], "among which responses best and worst are looked for"),
    power: number(2, "pow: exponent of |R|"),
    floor: number(1e-8, "pow: added", { min: 0 }),
  },
  option: true,
  weight: (c, p) => {
    const level = p.scope === "group" ? c.group : c.all;
    const r = c.reward;
    const best = r.eq(r.maxOver(level));
    const worst = r.eq(r.minOver(level));
    // Of several equal ones the last is the best and the first the worst: the order of a stable ascending sort.
    const place = c.lift(c.trajectory, Float64Array.from(c.trajectory.edge(c.all).index.keys()));
    const top = best.mul(place.eq(best.where(place, -1).maxOver(level)));
    const bottom = worst.mul(place.eq(worst.where(place, c.trajectory.size).minOver(level)));
    const weights: Record<typeof p.method, () => Vec> = {
      "best-of-n": () => top,
      "best-worst": () => top.or(bottom),
      "best-random": () => top.where(0.4, 0.1),
      pow: () => r.abs().pow(p.power).add(p.floor),
    };
    const weight = weights[p.method]();
    c.output("sampling_weight", weight.div(weight.sumOver(c.all)));
    return weight;
  },
});
