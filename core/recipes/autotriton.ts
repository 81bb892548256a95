import { defineRecipe, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";

export default defineRecipe({
  id: "autotriton",
  paper: {
    title: "AutoTriton: Automatic Triton Programming with Reinforcement Learning in LLMs",
    arxiv: "2507.05687",
  },
  stage: ["reward", "pipeline", "application"],
  describe: `GRPO with a 0/1 reward for kernels: the rule (it really is a kernel: decorated, launched, one block that parses)
AND the execution tests, so that wrapping the reference pays nothing. The rule's three parts are our reading of the
paper's syntactic check (only the abstract and notes were to be had). Supervised warm start on verified kernels is data.`,
  formula: "R = [has_jit ∧ launches ∧ parses]·[tests_passed]; A = (R − mean_g)/(std_g + adv_eps); then GRPO",
  params: { adv_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }) },
  fields: { has_jit: "trajectory", launches: "trajectory", parses: "trajectory", tests_passed: "trajectory" },
  trains: { refuse: "needs a compiler's verdicts on each rollout: supply has_jit, launches, parses, tests_passed" },
  reward: (c) => {
    const rule = c.field("has_jit").and(c.field("launches")).and(c.field("parses"));
    const reward = rule.and(c.field("tests_passed"));
    c.outputFlags("is_triton", rule);
    c.output("reward", reward);
    return reward;
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.adv_eps }),
});
