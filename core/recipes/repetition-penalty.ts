import { defineRecipe, flag, integer, number } from "../recipe.ts";
import { repeatedShare } from "../rl/reward.ts";

export default defineRecipe({
  id: "repetition-penalty",
  paper: {
    title: "Demystifying Long Chain-of-Thought Reasoning in LLMs",
    source: "huggingface/trl@f2cd577 trl/rewards/other_rewards.py",
  },
  stage: ["reward"],
  describe: `GRPO on a penalty by the share of n-grams of token ids that are repeats. The penalty stands alone, as one reward function
among others; add puts it on top of the task's reward.`,
  formula: "r = max_penalty·(1 − #distinct n-grams / #n-grams), 0 where there is none",
  params: {
    ngram: integer(3, "n", { min: 1 }),
    max_penalty: number(-1, "penalty where all n-grams are repeats (of 0 or less)", { max: 0 }),
    add: flag(false, "add to the task's reward in place of standing alone"),
  },
  reward: (c, p) => {
    const penalty = repeatedShare(c, c.field("tokens"), p.ngram).mul(p.max_penalty);
    return p.add ? c.reward.add(penalty) : penalty;
  },
});
