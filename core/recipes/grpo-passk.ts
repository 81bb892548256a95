import { defineRecipe, flag, number } from "../recipe.ts";

export default defineRecipe({
  id: "grpo-passk",
  paper: {
    title: "Optimizing Language Models for Inference Time Objectives using Reinforcement Learning",
    source: "verl verl/trainer/ppo/core_algos.py (grpo_passk)",
  },
  stage: ["advantage"],
  describe: `Only the best rollout of a group is credited, with its lead over the second best: the gradient of the expected
maximum. A tie at the top gives 0 to all. A group of one has no second and is refused. The rest is plain GRPO.`,
  formula: "A_best = (R_(1) − R_(2))/(std_g + eps_std), 0 for the others",
  params: {
    eps_std: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    std: flag(true, "divide by the group's deviation"),
  },
  advantage: (c, p) => {
    const R = c.reward;
    if (R.countOver(c.group).minOver(c.all).value() < 2) {
      c.refuse("grpo-passk: a group has one rollout", "sample two or more rollouts a prompt");
    }
    const best = R.eq(R.maxOver(c.group));
    const second = best.where(R.minOver(c.group), R).maxOver(c.group);
    const lead = best.sumOver(c.group).eq(1).mul(best).mul(R.sub(second));
    return p.std ? lead.div(R.stdOver(c.group, { ddof: 1 }).add(p.eps_std)) : lead;
  },
});
