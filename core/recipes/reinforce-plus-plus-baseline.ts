import { defineRecipe, none } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { centred, keepSingles, whiten } from "../rl/baseline.ts";

export default defineRecipe({
  id: "reinforce-plus-plus-baseline",
  paper: {
    title: "REINFORCE++: An Efficient RLHF Algorithm with Robustness to Both Prompt and Reward Models",
    source: "verl verl/trainer/ppo/core_algos.py",
  },
  stage: ["advantage"],
  describe: `The group gives the mean alone; the deviation is that of the whole batch, by whitening over its trained tokens, so
that long trajectories weigh more in it. A group of one has mean 0. A group of equal rewards need not end at 0 where
lengths differ. PPO clip, mean over tokens, no KL term, as in REINFORCE++.`,
  formula: "S_i = R_i − mean_g; A_{i,t} = m·(S_i − μ)/sqrt(σ² + 1e-8) over the batch's tokens",
  params: {},
  advantage: (c) => whiten(c, keepSingles(c.reward, c.group, centred(c.reward, c.group)).to(c.token)),
  kl: none,
  aggregate: tokenMean,
});
