import { defineRecipe, none } from "../recipe.ts";
import { tokenReward } from "../rl/credit.ts";
import { score } from "../rl/gate.ts";

export default defineRecipe({
  id: "remax",
  paper: {
    title: "ReMax: A Simple, Effective, and Efficient Reinforcement Learning Method for Aligning Large Language Models",
    source: "verl verl/trainer/ppo/core_algos.py",
  },
  stage: ["rollout", "advantage"],
  describe: `No group: the baseline is the reward of the greedy answer to the same prompt, so that one rollout a prompt is
enough; the loss is REINFORCE's. As in the code, advantage and return are not masked: on a masked token both are the
rewards still to come.`,
  formula: "G_t = Σ_{u≥t} m·r_u; A_t = G_t − m·b, b = reward of the greedy answer; ℓ = −A·lp",
  params: {},
  fields: { reward_baseline: "trajectory" },
  trains: { supply: { reward_baseline: "greedy-reward" } },
  advantage: (c) => {
    const G = c.mask.mul(tokenReward(c)).cumulate(c.trajectory, "backward");
    c.output("return", G);
    return G.sub(c.mask.mul(c.field("reward_baseline")));
  },
  ratio: none,
  gate: (c) => score(c, c.advantage),
  kl: none,
});
