import { defineRecipe, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";

export default defineRecipe({
  id: "at-grpo",
  paper: { title: "Stronger Together: On-Policy Reinforcement Learning for Collaborative LLMs", arxiv: "2510.11062" },
  stage: ["rollout", "advantage", "pipeline"],
  describe: `Teams of roles: at every turn and for every role several candidates are sampled from one prompt, and compared
with each other alone: the group is (problem, turn, role). The best candidate (the first of equal ones) is executed. As in
the code, a group of one has advantage 0 where others have more, and its raw reward over 1 + eps where none has.
Mixed rewards of role and team, optional filters and one policy a role are the environment's and trainer's.`,
  formula: "A = (r − mean)/(std + std_eps) over (problem, turn_index, agent); selected = argmax r of each; then GRPO",
  params: { std_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }) },
  fields: { problem: "trajectory", turn_index: "trajectory", agent: "trajectory" },
  trains: { refuse: "needs a team's environment with candidates at every turn: supply problem, turn_index, agent" },
  advantage: (c, p) => {
    const keys = ["problem", "turn_index", "agent"].map((name) => c.raw<(number | string)[]>(name));
    const level = c.keyed("agent turn", c.trajectory, ...keys);
    const label = c.trajectory.edge(level).index;
    const reward = c.reward.values();
    const selected = new Array<number>(level.size).fill(-1);
    reward.forEach((r, i) => {
      const best = selected[label[i]];
      if (best < 0 || r > reward[best]) selected[label[i]] = i;
    });
    c.output("group", [...label]);
    c.output("selected", selected);
    return zScore(c.reward, level, { eps: p.std_eps, rawSingles: level.size === c.trajectory.size });
  },
});
