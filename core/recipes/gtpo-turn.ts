import { defineRecipe, none, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { ppoClip } from "../rl/gate.ts";
import { members } from "../rl/groups.ts";

/** 1 for a right trajectory; for a wrong one alpha times its mean similarity to the group's right ones. */
function accuracy(c: Context, alpha: number): Float64Array {
  const correct = c.field("correct").values();
  const similarity = c.hasRaw("code_similarity") ? c.raw<number[][]>("code_similarity") : undefined;
  const credit = Float64Array.from(correct, (right) => (right > 0 ? 1 : 0));
  for (const group of members(c)) {
    const right = group.filter((i) => correct[i] > 0);
    for (const i of group) {
      if (correct[i] > 0 || right.length === 0 || !similarity) continue;
      credit[i] = (alpha / right.length) * right.reduce((sum, j) => sum + Math.max(0, similarity[i][j]), 0);
    }
  }
  return credit;
}

export default defineRecipe({
  id: "gtpo-turn",
  paper: {
    title: "Empowering Multi-Turn Tool-Integrated Reasoning with Group Turn Policy Optimization",
    arxiv: "2511.14846",
  },
  stage: ["reward", "advantage"],
  describe: `Every turn has a reward and a discounted return, compared with all turn returns of the group; failed
trajectories get part of the reward for code like that of right ones (any text similarity does). A reconstruction: constants
and similarity come from ports, and over which set the returns are normalised was not read.`,
  formula: "A_{i,t} = (Ret_{i,turn(t)} − mean)/(std + adv_eps) over the group's turns, Ret = Σ_k gamma^k r_{j+k}",
  params: {
    gamma: number(0.9, "discount of a turn", { min: 0, max: 1 }),
    format_penalty: number(-0.1, "reward of a turn with a bad tool call, or a first turn with none"),
    alpha: number(0.5, "share of the reward that similar code earns", { min: 0 }),
    adv_eps: number(1e-6, "added to the deviation", { min: 0 }),
    ddof: number(1, "divisor n − ddof of the variance", { min: 0, max: 1 }),
    clip_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    clip_hi: number(0.28, "clip range above 1", { min: 0 }),
  },
  fields: { turn_format_ok: "ragged", code_similarity: "raw" },
  trains: {
    refuse: "needs turns with tool calls: supply turn, turn_format_ok (one a turn) and code_similarity (N × N)",
  },
  advantage: (c, p) => {
    const turn = c.steps("turn_format_ok");
    const credit = c.lift(c.trajectory, accuracy(c, p.alpha));
    const place = turn.edge(c.trajectory).index;
    const last = c.lift(
      turn,
      place.map((i, k) => (place[k + 1] === i ? 0 : 1)),
    );
    const reward = c.field("turn_format_ok").not().mul(p.format_penalty).add(last.mul(credit));
    const ret = reward.recur(c.trajectory, "backward", p.gamma);
    c.output("accuracy_reward", credit);
    c.output("turn_return", ret);
    return zScore(ret, c.group, { eps: p.adv_eps, ddof: p.ddof }).to(c.token);
  },
  gate: (c, ratio, p) => ppoClip(c, ratio, c.advantage, { lo: p.clip_lo, hi: p.clip_hi }),
  kl: none,
});
