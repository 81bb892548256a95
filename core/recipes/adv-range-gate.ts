import { defineRecipe, number } from "../recipe.ts";
import { insideEverywhere } from "../rl/filter.ts";

export default defineRecipe({
  id: "adv-range-gate",
  paper: { title: "prime-rl AdvRangeGate", source: "prime-rl src/prime_rl/orchestrator/curriculum/gates/adv.py" },
  stage: ["filter"],
  describe: `An option: a group is dropped if the advantages of all its trained tokens lie in an interval; by default if all
are 0, which for GRPO's advantages is dynamic sampling's rule. A group without a trained token is admitted.`,
  formula: "keep_g = some A_{i,t} of g with m = 1 outside [reject_min, reject_max]",
  params: {
    reject_min: number(0, "lower end of the interval"),
    reject_max: number(0, "upper end of the interval"),
  },
  option: true,
  filter: (c, p) => ({ keep: insideEverywhere(c, c.advantage, p.reject_min, p.reject_max).not().to(c.trajectory) }),
});
