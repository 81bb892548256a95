import { defineRecipe, number, optional } from "../recipe.ts";
import { seqMeanTokenSum } from "../rl/aggregate.ts";
import { score } from "../rl/gate.ts";

export default defineRecipe({
  id: "archer",
  paper: { title: "ArCHer: Training Language Model Agents via Hierarchical Multi-Turn RL", arxiv: "2402.19446" },
  stage: ["policy", "advantage", "objective"],
  describe: `Two levels: critics of whole utterances (two Q, two V, each trained on its own target copy; off-policy, from a
replay buffer) give the advantage of an utterance drawn now, and a token-level policy gradient inside it uses that, less a
token baseline where there is one. No groups, no ratio, no clip. The critics' network, their buffer and the moving of the
target copies are left out: their values come as fields, and their losses are outputs.`,
  formula:
    "Q_j → r + gamma(1−done)·V̄_j(o'), V_j → Q̄_j(o, a~pi); A = min Q − min V; loss = −mean_i Σ_t (A − b_t)·lp + Σ m(A − b_t)²/(rows·padded_length)",
  params: {
    gamma: number(0.95, "discount of an utterance", { min: 0, max: 1 }),
    tau: number(0.1, "the trainer's: share of the critic that moves into its target copy", { min: 0, max: 1 }),
    padded_length: optional(null, "tokens a row of the baseline's mean; null: the batch's longest", { min: 1 }),
  },
  fields: {
    q1: "raw",
    q2: "raw",
    v1: "raw",
    v2: "raw",
    reward: "raw",
    done: "raw",
    target_v1_next: "raw",
    target_v2_next: "raw",
    target_q1_pi: "raw",
    target_q2_pi: "raw",
    actor_q1: "trajectory",
    actor_q2: "trajectory",
    actor_v1: "trajectory",
    actor_v2: "trajectory",
    token_baseline: "token",
  },
  differentiate: ["token_baseline"],
  trains: {
    refuse:
      "needs critics of utterances: supply their values at replayed (q1, v1, …) and at drawn utterances (actor_q1, …)",
  },
  advantage: (c, p) => {
    const column = (name: string): number[] => Array.from(c.raw<ArrayLike<number | boolean>>(name), Number);
    const squared = (x: number[], y: number[]): number =>
      x.length === 0 ? 0 : x.reduce((sum, a, k) => sum + (a - y[k]) * (a - y[k]), 0) / x.length;
    const [reward, done] = [column("reward"), column("done")];
    let critic = 0;
    for (const j of ["1", "2"]) {
      const next = column(`target_v${j}_next`);
      const target = reward.map((r, k) => r + p.gamma * (1 - done[k]) * next[k]);
      critic += squared(column(`q${j}`), target) + squared(column(`v${j}`), column(`target_q${j}_pi`));
      c.output(`q_target${j}`, target);
    }
    c.output("critic_loss", critic);
    return c
      .field("actor_q1")
      .min(c.field("actor_q2"))
      .sub(c.field("actor_v1").min(c.field("actor_v2")));
  },
  loss: (c, p) => {
    const baseline = c.optional("token_baseline");
    const gap = baseline ? c.advantage.sub(baseline) : c.advantage;
    const actor = seqMeanTokenSum(c, score(c, gap.stop()));
    c.output("actor_loss", actor);
    if (!baseline) return actor;
    const width = p.padded_length ?? Math.max(1, ...c.batch.lengths);
    const value = gap
      .square()
      .mul(c.mask)
      .sumOver(c.all)
      .div(Math.max(1, c.trajectory.size) * width);
    c.output("value_loss", value);
    return actor.add(value);
  },
});
