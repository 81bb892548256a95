import { choice, defineRecipe, number } from "../recipe.ts";
import { meanWithin, mixedGroups } from "../rl/filter.ts";

export default defineRecipe({
  id: "dynamic-sampling",
  paper: { title: "DAPO: An Open-Source LLM Reinforcement Learning System at Scale", arxiv: "2503.14476" },
  stage: ["sampler", "filter"],
  describe: `An option: groups without a signal are dropped and others sampled in their place. Rule std (verl): all rewards
equal, a group of one stays; rule range (OpenRLHF): the mean is not strictly between lo and hi.`,
  formula: "keep_g = max_g R ≠ min_g R, or lo < mean_g R < hi",
  params: {
    rule: choice("std", ["std", "range"], "which groups stay"),
    lo: number(0, "range: the mean lies above"),
    hi: number(1, "range: and below"),
  },
  option: true,
  filter: (c, p) => {
    const keep =
      p.rule === "std" ? mixedGroups(c, c.reward, { keepSingles: true }) : meanWithin(c, c.reward, p.lo, p.hi);
    const groups = keep.maxOver(c.group).values();
    c.output(
      "selected",
      [...groups.keys()].filter((g) => groups[g] === 1),
    );
    return { keep };
  },
});
