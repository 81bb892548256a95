import { choice, defineRecipe, number } from "../recipe.ts";
import { AGGREGATIONS, aggLoss } from "../rl/aggregate.ts";
import type { Context } from "../rl/context.ts";
import { members } from "../rl/groups.ts";

const lowerMedian = (x: readonly number[]): number => [...x].sort((a, b) => a - b)[Math.floor((x.length - 1) / 2)];

/** Advantages of all rollouts, and 0 for the one pivot of each group. */
function medianCentred(c: Context, eps: number): { advantage: Float64Array; keep: Float64Array } {
  const reward = c.reward.values();
  const advantage = new Float64Array(reward.length);
  const keep = new Float64Array(reward.length).fill(1);
  for (const group of members(c)) {
    const median = lowerMedian(group.map((i) => reward[i]));
    const scale = lowerMedian(group.map((i) => Math.abs(reward[i] - median))) + eps;
    const away = group.filter((i) => Math.abs((reward[i] - median) / scale) > 1e-6);
    for (const i of group) advantage[i] = (reward[i] - median) / scale;
    for (const i of away) advantage[i] *= group.length / away.length;
    keep[group.find((i) => reward[i] === median) as number] = 0;
  }
  return { advantage, keep };
}

export default defineRecipe({
  id: "mc-grpo",
  paper: {
    title: "MC-GRPO: Median-Centered Group Relative Policy Optimization for Small-Rollout Reinforcement Learning",
    arxiv: "2601.22582",
    source: "github lotusroot-kim/MC-GRPO src/open_r1/grpo_trainer_gsm.py",
  },
  stage: ["sampler", "advantage", "filter"],
  describe: `For tiny groups: one rollout more, centred on the group's lower median and scaled by the lower median absolute
deviation; the first rollout that equals the median leaves loss, KL and counts. As released: with one rollout off the median
the deviation is 0 and |A| of the order 1/mad_eps, which gradient clipping must tame. The extra rollout is the trainer's.`,
  formula: "A_i = (R_i − med)/(MAD + mad_eps)·n/z, z = rollouts off the median",
  params: {
    mad_eps: number(1e-3, "added to the median absolute deviation", { min: 1e-9 }),
    beta: number(0.04, "coefficient of the k3 penalty to the reference", { min: 0 }),
    agg: choice("seq-mean-token-mean", AGGREGATIONS, "how token losses become one"),
  },
  advantage: (c, p) => {
    const { advantage, keep } = medianCentred(c, p.mad_eps);
    c.carry("off_pivot", c.lift(c.trajectory, keep));
    return c.lift(c.trajectory, advantage);
  },
  filter: (c) => ({ keep: c.field("off_pivot"), leftOut: true }),
  aggregate: (c, loss, p) => aggLoss(c, loss, p.agg),
});
