import { defineRecipe, none, number, optional } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";

export default defineRecipe({
  id: "mapo-dialogue",
  paper: {
    title: "MAPO: Mixed Advantage Policy Optimization for Long-Horizon Multi-Turn Dialogue",
    arxiv: "2603.06194",
  },
  stage: ["reward", "advantage"],
  describe: `No critic: a judge scores each turn of a dialogue. One advantage compares the return from a turn on with other
dialogues at the same turn, another the turn's own reward with all turns of the prompt (the later version's pool). gamma
and std_eps were not read; the equations are a re-implementation's. A late turn that one dialogue alone reaches gets 0 there.
In training turns are segments, judged by what they add to the likeness with the right answer.`,
  formula: "A_k = alpha·z_{g,k}(Σ_{l≥k} gamma^{l−k} r_l) + beta·z_g(r_k), beta = 1 − alpha, population deviation",
  params: {
    alpha: number(0.5, "weight of the comparison at equal turns", { min: 0, max: 1 }),
    beta: optional(null, "weight of the comparison with all turns of the prompt; null: 1 − alpha", { min: 0 }),
    gamma: number(1, "discount of a turn", { min: 0, max: 1 }),
    std_eps: number(1e-8, "added to deviations", { min: 0 }),
  },
  fields: { turn_reward: "ragged" },
  trains: { supply: { turn: "segment", turn_reward: "segment-gain" } },
  advantage: (c, p) => {
    const reward = c.field("turn_reward");
    const step = c.has("turn") ? c.steps("turn_reward") : reward.level;
    const place = reward.positionOver(c.trajectory).values();
    const sameTurn = c.keyed("turn of prompt", step, step.edge(c.group).index, place);
    const ret = reward.recur(c.trajectory, "backward", p.gamma);
    const options = { eps: p.std_eps, ddof: 0 };
    const byTurn = zScore(ret, sameTurn, options);
    const byPrompt = zScore(reward, c.group, options);
    c.output("returns", ret);
    c.output("advantage_turn_level", byTurn);
    c.output("advantage_batch_level", byPrompt);
    const mixed = byTurn.mul(p.alpha).add(byPrompt.mul(p.beta ?? 1 - p.alpha));
    return c.has("turn") ? mixed.to(c.token) : mixed;
  },
  kl: none,
});
