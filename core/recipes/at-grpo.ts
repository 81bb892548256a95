import { choice, defineRecipe, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { largest } from "../rl/filter.ts";
import type { Level } from "../rl/level.ts";
import type { Vec } from "../rl/vec.ts";

/** Candidates for one role at one turn of one problem. */
const peersOf = (c: Context): Level => {
  const keys = ["problem", "turn_index", "agent"].map((name) => c.raw<(number | string)[]>(name));
  return c.keyed("agent turn", c.trajectory, ...keys);
};

/** 0 on the share of x's elements that are smallest, their number rounded down (of equal ones the later). */
const withoutLowest = (c: Context, x: Vec, share: number): Vec =>
  largest(c, x, x.level.size - Math.floor(share * x.level.size), c.all);

/** Candidates that train; a lone one cannot be compared, and stays under "dapo". */
function kept(c: Context, method: string, share: number): Vec {
  const level = peersOf(c);
  const r = c.reward;
  if (method === "dapo") return r.maxOver(level).ne(r.minOver(level)).or(r.countOver(level).eq(1));
  if (method === "std") return withoutLowest(c, r.stdOver(level, { ddof: 1 }), share);
  if (method === "mean") return withoutLowest(c, r.meanOver(level), share);
  if (method === "uid") return withoutLowest(c, r.centreOver(level).abs().neg(), share);
  return c.number(1, c.trajectory);
}

export default defineRecipe({
  id: "at-grpo",
  paper: { title: "Stronger Together: On-Policy Reinforcement Learning for Collaborative LLMs", arxiv: "2510.11062" },
  stage: ["rollout", "advantage", "pipeline"],
  describe: `Teams of roles: at every turn and for every role several candidates are sampled from one prompt, and compared
with each other alone: the group is (problem, turn, role). The best candidate (the first of equal ones) is executed. As in
the code, a group of one has advantage 0 where others have more, and its raw reward over 1 + eps where none has.
Filters leave out groups without differences (dapo), the groups of least deviation or mean, or the candidates farthest from
their group's mean (uid). Mixed rewards of role and team and one policy a role are the environment's and trainer's.`,
  formula: "A = (r − mean)/(std + std_eps) over (problem, turn_index, agent); selected = argmax r of each; then GRPO",
  params: {
    std_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    filter_method: choice("dapo", ["dapo", "std", "mean", "uid", "none"], "which candidates leave the loss"),
    filter_ratio: number(0, "share of the groups (std, mean) or candidates (uid) that leave", { min: 0, max: 1 }),
  },
  fields: { problem: "trajectory", turn_index: "trajectory", agent: "trajectory" },
  trains: { refuse: "needs a team's environment with candidates at every turn: supply problem, turn_index, agent" },
  advantage: (c, p) => {
    const level = peersOf(c);
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
  filter: (c, p) => ({ keep: kept(c, p.filter_method, p.filter_ratio), leftOut: true }),
});
