import { defineRecipe, integer, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { byAppearance } from "../rl/groups.ts";
import type { Vec } from "../rl/vec.ts";

/** S_q below what full rewards would add up to. */
const challenging = (c: Context, p: { l_fmt: number; l_ans: number }): Vec =>
  c.reward.sumOver(c.group).lt(c.reward.countOver(c.group).mul(p.l_fmt + p.l_ans));

export default defineRecipe({
  id: "grpo-rcs",
  paper: {
    title: "Improving Generalization in Intent Detection: GRPO with Reward-Based Curriculum Sampling",
    arxiv: "2504.13592",
  },
  stage: ["sampler", "reward", "application"],
  describe: `Two phases: GRPO on everything, then only on prompts whose rollouts did not all earn the full reward (format
plus answer). Without the field format every output counts as well-formed. In the second phase solved prompts leave the loss;
drawing others in their place belongs to the sampler. Reward weights are a reconstruction. State: step.`,
  formula: "R = l_fmt·F + l_ans·C; keep q in phase 2 where Σ_i R_i < (l_fmt + l_ans)·G",
  params: {
    l_fmt: number(1, "reward for the demanded form"),
    l_ans: number(1, "reward for the right intent"),
    phase1_steps: integer(60, "rollout batches on the full set", { min: 0 }),
    G: integer(8, "rollouts a prompt: the trainer's; groups are counted as they come", { min: 1 }),
    adv_eps: number(1e-4, "added to the group's deviation", { min: 0 }),
  },
  fields: { format: "trajectory" },
  state: { init: () => ({ step: 0 }), update: (c) => ({ step: (c.state["step"] as number) + 1 }) },
  reward: (c, p) => {
    const format = c.optional("format") ?? c.number(1, c.trajectory);
    const reward = format.mul(p.l_fmt).add(c.field("correct").mul(p.l_ans));
    c.output("reward", reward);
    return reward;
  },
  advantage: (c, p) => {
    c.output("score", byAppearance(c, c.reward.sumOver(c.group)));
    c.output(
      "keep_prompt",
      byAppearance(c, challenging(c, p)).map((kept) => kept === 1),
    );
    return zScore(c.reward, c.group, { eps: p.adv_eps });
  },
  filter: (c, p) => {
    const first = (c.state["step"] as number) < p.phase1_steps;
    return { keep: first ? c.number(1, c.trajectory) : challenging(c, p).to(c.trajectory) };
  },
});
