import { defineRecipe, number, optional } from "../recipe.ts";

export default defineRecipe({
  id: "overlong-penalty",
  paper: {
    title: "DAPO: An Open-Source LLM Reinforcement Learning System at Scale",
    source: "OpenRLHF/OpenRLHF@3c3be62 openrlhf/trainer/ppo_utils/length_penalty.py",
  },
  stage: ["reward"],
  describe: `GRPO on a reward with DAPO's overlong punishment as OpenRLHF has it: scaled by a factor, and capped at the
buffer (verl and AReaL do not cap it). Without a buffer there is no penalty.`,
  formula: "e = min(T − (max_len − buffer), buffer); R − factor·max(e, 0)/buffer",
  params: {
    max_len: optional(null, "limit of the length, tokens; null: no penalty", { min: 1 }),
    buffer: optional(null, "tokens before the limit in which the penalty grows; null: 0", { min: 0 }),
    factor: number(1, "largest penalty", { min: 0 }),
  },
  reward: (c, p) => {
    if (p.max_len === null || !p.buffer) return c.reward;
    const excess = c.length.sub(p.max_len - p.buffer).clamp(0, p.buffer);
    return c.reward.sub(excess.mul(p.factor / p.buffer));
  },
});
