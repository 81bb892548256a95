import { defineRecipe } from "../recipe.ts";
import { members } from "../rl/groups.ts";

export default defineRecipe({
  id: "centred-rank",
  paper: { title: "Evolution Strategies as a Scalable Alternative to Reinforcement Learning", arxiv: "1703.03864" },
  stage: ["advantage"],
  describe: `Plain GRPO with the fitness shaping of evolution strategies in place of the z-score: a trajectory's advantage is
its rank by reward inside the group, spread evenly over −1/2 … 1/2. Only the order of rewards counts, not their scale nor
an outlier among them. Equal rewards share the mean of their ranks, so that a group of equals or of one has 0; there is
no deviation to divide by. A combination of our own: the paper ranks perturbed parameters, not rollouts.`,
  formula: "A_i = (#{j: R_j < R_i} + (#{j: R_j = R_i} − 1)/2)/(G − 1) − 1/2",
  params: {},
  advantage: (c) => {
    const reward = c.reward.values();
    const present = c.present("reward").values();
    const advantage = new Float64Array(reward.length);
    for (const group of members(c)) {
      const order = group.filter((i) => present[i] !== 0).sort((a, b) => reward[a] - reward[b]);
      for (let from = 0, to = 0; from < order.length; from = to) {
        while (to < order.length && reward[order[to]] === reward[order[from]]) to++;
        const rank = (from + to - 1) / 2;
        for (const i of order.slice(from, to)) advantage[i] = order.length > 1 ? rank / (order.length - 1) - 0.5 : 0;
      }
    }
    return c.lift(c.trajectory, advantage);
  },
});
