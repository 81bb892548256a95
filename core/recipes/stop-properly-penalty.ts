import { defineRecipe, optional } from "../recipe.ts";

export default defineRecipe({
  id: "stop-properly-penalty",
  paper: {
    title: "ProRL v2 (NVIDIA)",
    source: "OpenRLHF/OpenRLHF@3c3be62 openrlhf/trainer/ppo_utils/length_penalty.py",
  },
  stage: ["reward"],
  describe: `GRPO on a reward that truncated answers get scaled (coef of 0 or more) or replaced (coef below 0); null
leaves rewards as they are.`,
  formula: "truncated: R ← coef·R (coef ≥ 0) or R ← coef (coef < 0)",
  params: { coef: optional(null, "factor of a truncated answer's reward, or below 0 the reward itself") },
  reward: (c, p) => {
    if (p.coef === null) return c.reward;
    return c.field("truncated").where(p.coef < 0 ? p.coef : c.reward.mul(p.coef), c.reward);
  },
});
