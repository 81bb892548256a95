import { defineRecipe, integer, number } from "../recipe.ts";
import { repeatedShare } from "../rl/reward.ts";

export default defineRecipe({
  id: "repetition-penalty",
  paper: {
    title: "Demystifying Long Chain-of-Thought Reasoning in LLMs",
    source: "huggingface/trl@f2cd577 trl/rewards/other_rewards.py",
  },
  stage: ["reward"],
  describe: `GRPO on the reward plus a penalty by the share of n-grams of token ids that are repeats; on the penalty
alone where the batch has no reward (TRL ships it as one reward function among others).`,
  formula: "R + r, r = max_penalty·(1 − #distinct n-grams / #n-grams), 0 where there is none",
  params: {
    ngram: integer(3, "n", { min: 1 }),
    max_penalty: number(-1, "penalty where all n-grams are repeats (of 0 or less)", { max: 0 }),
  },
  reward: (c, p) => {
    const penalty = repeatedShare(c, c.field("tokens"), p.ngram).mul(p.max_penalty);
    return c.has("reward") ? c.reward.add(penalty) : penalty;
  },
});
