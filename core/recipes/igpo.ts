import { choice, defineRecipe, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import type { Vec } from "../rl/vec.ts";

/** The gain of belief of each turn but the last, which has the outcome; the outcome alone where beliefs and turns differ. */
function turnRewards(c: Context): number[][] {
  const belief = c.raw<number[][]>("answer_prob");
  const outcome = c.field("outcome_reward").values();
  const turn = c.field("turn").values();
  return belief.map((p, i) => {
    const { offsets } = c.batch;
    const turns = 1 + Math.max(-1, ...turn.subarray(offsets[i], offsets[i + 1]));
    const gains =
      turns === p.length ? p.slice(1).map((next, k) => next - p[k]) : new Array<number>(Math.max(0, turns - 1)).fill(0);
    return turns > 0 ? [...gains, outcome[i]] : [];
  });
}

/** Turn rewards on the last token of their turn. */
function onTokens(c: Context, rewards: readonly number[][]): Vec {
  const turn = c.field("turn").values();
  const { offsets } = c.batch;
  const reward = new Float64Array(turn.length);
  rewards.forEach((row, i) => {
    const last = new Map<number, number>();
    for (let t = offsets[i]; t < offsets[i + 1]; t++) last.set(turn[t], t);
    for (const [k, t] of last) reward[t] = row[k] ?? 0;
  });
  return c.lift(c.token, reward);
}

/** The released code: returns of tokens less the group's mean at the same place, where finished rollouts count as 0. */
function byPlace(c: Context, gamma: number): Vec {
  const reward = onTokens(c, turnRewards(c));
  c.output("reward_token", reward);
  const ret = reward.recur(c.trajectory, "backward", c.mask.shift(c.trajectory, -1).mul(gamma));
  const place = c.number(1, c.token).positionOver(c.trajectory).values();
  const same = c.keyed("place", c.token, c.token.edge(c.group).index, place);
  const size = c.number(1, c.trajectory).sumOver(c.group);
  return ret.sub(ret.sumOver(same).to(c.token).div(size)).mul(c.mask);
}

/** The paper: z-scored turn rewards of the whole group, then summed to the end. */
function byTurn(c: Context, gamma: number, eps: number): Vec {
  const rewards = turnRewards(c);
  c.output("reward_turn", rewards);
  const step = c.steps("answer_prob");
  if (rewards.some((row, i) => row.length !== c.raw<number[][]>("answer_prob")[i].length)) {
    c.refuse(
      "igpo: 'answer_prob' has not one belief a turn",
      "give the belief before each turn, or use variant released-code",
    );
  }
  const score = zScore(c.lift(step, rewards.flat()), c.group, { eps });
  return score.recur(c.trajectory, "backward", gamma).to(c.token).mul(c.mask);
}

export default defineRecipe({
  id: "igpo",
  paper: {
    title: "Information Gain-based Policy Optimization: A Simple and Effective Approach for Multi-Turn LLM Agents",
    arxiv: "2510.14967",
    source: "github GuoqingWang1/IGPO: verl/trainer/ppo/core_algos.py",
  },
  stage: ["reward", "advantage"],
  describe: `Each turn of an agent is paid by how much it raised the model's own probability of the gold answer, the last by
the outcome. The released code compares returns at equal token positions, without a deviation, so that lengths leak in;
the paper pools and z-scores turn rewards (that variant as summarised, not read). Without tools, a rollout's segments are
the turns.`,
  formula: "r_k = p_{k+1} − p_k, last: outcome; A = Σ_{l≥k} gamma^{l−k}·z(r_l), or G_t − mean_g G_t (released)",
  params: {
    variant: choice("paper", ["paper", "released-code"], "which of the two advantages"),
    gamma: number(1, "discount of a turn (paper) or token (released)", { min: 0, max: 1 }),
    eps: number(1e-6, "added to the deviation", { min: 0 }),
    std: choice("sample", ["sample"], "deviation with divisor n − 1"),
  },
  fields: { answer_prob: "ragged", outcome_reward: "trajectory" },
  trains: { supply: { turn: "segment", answer_prob: "segment-belief", outcome_reward: "outcome" } },
  advantage: (c, p) => (p.variant === "paper" ? byTurn(c, p.gamma, p.eps) : byPlace(c, p.gamma)),
});
