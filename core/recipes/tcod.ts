import { choice, defineRecipe, integer } from "../recipe.ts";
import type { Context } from "../rl/context.ts";
import { divergence } from "../rl/distill.ts";
import { logSoftmax } from "../rl/entropy.ts";
import { ALL } from "../rl/level.ts";
import type { Vec } from "../rl/vec.ts";

const REDUCE = "sum over turns, mean over trajectories";

/** KL(teacher ‖ student) of each token's distribution (nats). */
function forwardKl(c: Context): Vec {
  if (c.has("teacher_probs")) {
    return divergence(c.field("student_probs").log(), c.field("teacher_probs").log(), 0).sumOver(c.token);
  }
  const rows = (name: string): Vec => logSoftmax(c.field(name), c.token);
  return divergence(rows("logits"), rows("logits_ref"), 0).sumOver(c.token);
}

export default defineRecipe({
  id: "tcod",
  paper: {
    title: "TCOD: Exploring Temporal Curriculum in On-Policy Distillation for Multi-turn Autonomous Agents",
    arxiv: "2604.24005",
  },
  stage: ["rollout", "objective", "sampler"],
  describe: `On-policy distillation of an agent whose horizon grows with training: from the front the student plays k turns, from
the back (b2f) it takes over k turns before the end of a successful teacher episode, whose earlier actions are replayed
without gradient. One distribution a turn (teacher_probs, student_probs), or logits of both and the tokens' turn. Replaying,
the store of episodes and dropping rollouts older than two versions are left out. No reward, no ratio.`,
  formula: "k = min(k_start + ⌊n/eta⌋, t_max, T_i); loss = mean_i Σ_kept KL(π_T ‖ π_S), kept: t < k or t ≥ T_i − k",
  params: {
    variant: choice("f2b", ["f2b", "b2f"], "front to back, or back to front"),
    k_start: integer(1, "turns at the start", { min: 0 }),
    eta: integer(2, "training steps to one more turn", { min: 1 }),
    step: integer(0, "n: the training step", { min: 0 }),
    t_max: integer(30, "most turns", { min: 0 }),
    reduce: choice(REDUCE, [REDUCE], "from turns to the loss"),
  },
  fields: { turns: "trajectory", teacher_probs: "vocabulary", student_probs: "vocabulary" },
  differentiate: ["student_probs"],
  loss: (c, p) => {
    const kl = forwardKl(c);
    const place = c.optional("turn") ?? c.number(1, c.token).positionOver(c.trajectory);
    const turns = c.optional("turns") ?? place.add(1).maxOver(c.trajectory).max(0);
    const k = turns.min(Math.min(p.k_start + Math.floor(p.step / p.eta), p.t_max));
    const kept = p.variant === "f2b" ? place.lt(k) : place.ge(turns.sub(k));
    c.output("k", k);
    c.outputFlags("keep_turn", kept);
    c.output("kl", kl);
    return kl.mul(kept).mul(c.mask).sumOver(c.trajectory).meanOver(ALL);
  },
  trains: {
    refuse:
      "needs a teacher's distributions over an agent's turns: supply teacher_probs and student_probs, or logits_ref and logits",
  },
});
