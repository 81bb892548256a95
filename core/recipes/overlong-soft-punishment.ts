import { defineRecipe, optional } from "../recipe.ts";
import { softOverlong } from "../rl/reward.ts";

export default defineRecipe({
  id: "overlong-soft-punishment",
  paper: {
    title: "DAPO: An Open-Source LLM Reinforcement Learning System at Scale",
    source: "huggingface/trl@f2cd577 trl/rewards/other_rewards.py",
  },
  stage: ["reward"],
  describe: `GRPO on a reward that falls linearly by 1 in the last stretch before the length limit and stays there
beyond it: how long an answer may be is learned before it is cut.`,
  formula: "R + p(T); p = 0 up to max_len − buffer, (max_len − buffer − T)/buffer up to max_len, −1 beyond",
  params: {
    max_len: optional(null, "limit of the length, tokens; null: no penalty", { min: 1 }),
    buffer: optional(null, "tokens before the limit in which the penalty grows; null: 0", { min: 0 }),
  },
  reward: (c, p) => (p.max_len === null ? c.reward : c.reward.add(softOverlong(c.length, p.max_len, p.buffer ?? 0))),
});
