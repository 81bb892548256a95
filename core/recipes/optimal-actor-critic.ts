import { defineRecipe, number } from "../recipe.ts";
import { logSoftmax } from "../rl/entropy.ts";
import { nested, sameShape, unnest } from "../rl/nested.ts";

type Table = number[][];

export default defineRecipe({
  id: "optimal-actor-critic",
  paper: { title: "Actor-Critics Can Achieve Optimal Sample Efficiency", arxiv: "2505.03710" },
  stage: ["theory", "update"],
  describe: `Tabular: the actor moves by mirror ascent on an optimistic critic that aims at Q*, and the critic is refitted, with
the policy back at uniform, only when the accumulated squared TD excess passes a threshold. Outputs the policy after every
episode and the optimistic backup. Reconstruction from the abstract; the bonus is a stand-in for the confidence set, names
are recollections. No group, no ratio; the hybrid without optimism is left out.`,
  formula: "π ← softmax(logits + eta·Q̂); Q̂ = min(H − h, r + min(bonus_max, bonus/√max(n,1)) + PV)",
  params: {
    eta: number(0.8, "step of the mirror ascent (theory: √(ln|A|/(H²K)))", { min: 0 }),
    switch_threshold: number(1, "accumulated TD excess that makes the critic switch", { min: 0 }),
    bonus: number(0.5, "coefficient of the bonus", { min: 0 }),
    bonus_max: number(2, "largest bonus", { min: 0 }),
    horizon_left: number(3, "bound of the value, H − h", { min: 0 }),
  },
  fields: {
    q: "raw",
    td_excess: "raw",
    count: "raw",
    transition: "raw",
    reward_table: "raw",
    value_next: "raw",
  },
  outputs: (c, p) => {
    sameShape(c, 1, "q", "td_excess");
    sameShape(c, 2, "reward_table", "count", "transition");
    const excess = c.raw<number[]>("td_excess");
    const critics = c.raw<Table[]>("q");
    let [sum, logits, critic] = [0, critics[0]?.map((row) => row.map(() => 0)) ?? [], critics[0]];
    const switched: boolean[] = [];
    const policy = critics.map((q, k) => {
      sum += excess[k];
      switched.push(k === 0 || sum > p.switch_threshold);
      if (switched[k]) [sum, logits, critic] = [0, q.map((row) => row.map(() => 0)), q];
      logits = logits.map((row, s) => row.map((x, a) => x + p.eta * critic[s][a]));
      const { vec, levels } = nested(c, "logits", logits);
      return unnest(levels, logSoftmax(vec, levels[0]).exp());
    });
    const [count, value] = [c.raw<Table>("count"), c.raw<number[]>("value_next")];
    const transition = c.raw<Table[]>("transition");
    if (transition.flat().some((to) => to.length !== value.length)) {
      c.refuse(`optimal-actor-critic: transitions to other than ${value.length} states`, "give value_next one a state");
    }
    const backup = c.raw<Table>("reward_table").map((row, s) =>
      row.map((r, a) => {
        const bonus = Math.min(p.bonus_max, p.bonus / Math.sqrt(Math.max(count[s][a], 1)));
        const next = transition[s][a].reduce((v, share, to) => v + share * value[to], 0);
        return Math.min(p.horizon_left, r + bonus + next);
      }),
    );
    return { switch: switched, policy, q_optimistic: backup };
  },
  trains: { refuse: "needs a tabular environment with a critic: replay it on tables" },
});
