import { defineRecipe, none, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { centred } from "../rl/baseline.ts";
import type { Vec } from "../rl/vec.ts";

export default defineRecipe({
  id: "length-penalty-linear",
  paper: {
    title: "prime-rl GRPO length_penalty",
    source: "PrimeIntellect-ai/prime-rl@559b447 src/prime_rl/orchestrator/algo/grpo.py",
  },
  stage: ["reward", "advantage"],
  describe: `GRPO without the deviation on a reward less a penalty on output tokens, input tokens and turns, each
relative to the group's largest, and scaled by the group's mean reward: prompts that are solved often are asked to be
brief. Without total_length or turns in the batch their parts are the same for all.`,
  formula: "f_i = out·T_i/max T + inp·I_i/max I + turns·U_i/max U; R' = R − mean_g(R)·f; A = R' − mean_g(R')",
  params: {
    out: number(0.25, "weight of output tokens"),
    inp: number(0.1, "weight of input tokens"),
    turns: number(0.1, "weight of turns"),
  },
  fields: { total_length: "trajectory", turns: "trajectory" },
  reward: (c, p) => {
    const relative = (x: Vec) => x.div(x.maxOver(c.group).max(1));
    const input = c.has("total_length") ? c.field("total_length").sub(c.length) : c.number(0, c.trajectory);
    const turns = c.optional("turns") ?? c.number(1, c.trajectory);
    const f = relative(c.length).mul(p.out).add(relative(input).mul(p.inp)).add(relative(turns).mul(p.turns));
    return c.reward.sub(f.mul(c.reward.meanOver(c.group)));
  },
  advantage: (c) => centred(c.reward, c.group),
  kl: none,
  aggregate: tokenMean,
});
