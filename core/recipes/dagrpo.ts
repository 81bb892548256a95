import { defineRecipe, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { members } from "../rl/groups.ts";
import { tokenRatio } from "../rl/ratio.ts";
import type { Vec } from "../rl/vec.ts";

/** Trajectories with at least one of their group of another reward whose score differs by tau or more. */
function distinctive(c: Context, tau: number): Vec {
  const [reward, score] = [c.reward.values(), c.field("score").values()];
  const keep = new Float64Array(reward.length);
  for (const rows of members(c)) {
    for (const i of rows) {
      const distinct = (j: number): boolean => reward[i] !== reward[j] && !(Math.abs(score[i] - score[j]) < tau);
      if (rows.some(distinct)) keep[i] = 1;
    }
  }
  return c.lift(c.trajectory, keep);
}

export default defineRecipe({
  id: "dagrpo",
  paper: {
    title:
      "DaGRPO: Rectifying Gradient Conflict in Reasoning via Distinctiveness-Aware Group Relative Policy Optimization",
    arxiv: "2512.06337",
  },
  stage: ["filter", "advantage", "rollout"],
  describe: `Pairs of a right and a wrong rollout of nearly the same quality (a finer score, by a judge) give no clean
contrast: rollouts without a distinct pair leave the group's statistics and the loss. A group that failed as a whole gets
an expert's answer in the place of one rollout (flag anchor, reward and score as given), whose ratio is p/(p + 0.1).
Reconstruction from the abstract: tau, and the anchor's ratio (after LUFFY) are choices.`,
  formula: "keep i iff some j: R_i ≠ R_j, |s_i − s_j| ≥ tau; A = (R − μ)/(σ + adv_eps) over the kept, else 0; GRPO",
  params: {
    tau: number(0.3, "least difference of the scores (a choice)", { min: 0 }),
    adv_eps: number(1e-6, "added to the deviation", { min: 0 }),
    std_ddof: number(1, "divisor n − ddof of the variance", { min: 0, max: 1 }),
    anchor_shift: number(0.1, "added to p in the ratio of an anchor", { min: 1e-9 }),
  },
  fields: { score: "trajectory", anchor: "trajectory" },
  trains: { supply: { score: "judge-score", anchor: "anchor" } },
  advantage: (c, p) => {
    const weight = distinctive(c, p.tau);
    return zScore(c.reward, c.group, { eps: p.adv_eps, ddof: p.std_ddof, weight });
  },
  filter: (c, p) => ({ keep: distinctive(c, p.tau) }),
  ratio: (c, p) => {
    const prob = c.logp.exp();
    const anchor = c.optional("anchor") ?? c.number(0, c.trajectory);
    return anchor.where(prob.div(prob.add(p.anchor_shift)), tokenRatio(c));
  },
});
