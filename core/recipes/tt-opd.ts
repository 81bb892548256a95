import { defineRecipe, integer, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { klPenalty, klToReference } from "../rl/kl.ts";
import { listsOf } from "../rl/nested.ts";
import { movedTowards } from "../rl/tracker.ts";

const updatesOf = (c: Context): number[][] =>
  c.hasRaw("student_params_by_step") ? listsOf<number[]>(c, "student_params_by_step") : [];

export default defineRecipe({
  id: "tt-opd",
  paper: {
    title: "Healthcare AI GYM for Medical Agents",
    arxiv: "2605.02943",
    source: "repo minstar/Healthcare_GYM: scripts/verl/reward_fn.py",
  },
  stage: ["objective", "reward", "update", "application"],
  describe: `An agent is kept from shortening its tool use by a slowly moving copy of itself that sees a hint of the outcome and
is distilled into it on every turn (logp_teacher: its log-probabilities with the hint), beside an outcome reward shaped by
length. Left out: the bonus for format, the fine for bad calls, the process reward, and the hard copy after 30 updates. The
moving copy is state, of the parameters that student_params_by_step lists.`,
  formula:
    "R = r_L + (r_0 − r_L)(1 + cos(π·L/l_max))/2, r_exceed from l_max on; A = z_g(R) + kl_coef·(lp_teacher − lp_old)",
  params: {
    l_max: number(12288, "length (tokens) from which a rollout is too long", { min: 1e-9 }),
    r0_correct: number(1.1, "reward of a right rollout of length 0"),
    rl_correct: number(0.7, "of a right one of length l_max"),
    r0_wrong: number(0, "of a wrong one of length 0"),
    rl_wrong: number(-0.3, "of a wrong one of length l_max"),
    r_exceed: number(-0.5, "of one that is too long"),
    kl_coef: number(4, "weight of the distillation", { min: 0 }),
    kl_loss_coef: number(0.01, "coefficient of the k3 penalty to the reference", { min: 0 }),
    decay: number(0.995, "what the teacher keeps of itself at an update", { min: 0, max: 1 }),
    interval: integer(5, "updates of the student from one of the teacher to the next", { min: 1 }),
  },
  fields: { length: "raw", student_params_by_step: "raw", logp_teacher: "token" },
  reward: (c, p) => {
    const correct = c.optional("correct") ?? c.optional("reward") ?? c.number(0, c.trajectory);
    const right = correct.gt(0);
    const end = right.where(p.rl_correct, p.rl_wrong);
    const start = right.where(p.r0_correct, p.r0_wrong);
    // Lengths of a case stand without their tokens.
    const length = c.hasRaw("length") ? c.lift(c.trajectory, c.raw<number[]>("length")) : c.length;
    const wave = length
      .mul(Math.PI / p.l_max)
      .cos()
      .add(1)
      .mul(0.5);
    return length.ge(p.l_max).where(p.r_exceed, end.add(start.sub(end).mul(wave)));
  },
  advantage: (c, p) => {
    const outcome = zScore(c.reward, c.group, { eps: 1e-6 });
    const teacher = c.optional("logp_teacher");
    return teacher ? teacher.sub(c.logpOld).mul(p.kl_coef).add(outcome) : outcome;
  },
  kl: (c, p) => (p.kl_loss_coef === 0 ? c.number(0) : klPenalty(c, klToReference(c, "k3"), p.kl_loss_coef)),
  state: {
    init: () => ({ teacher: [], updates: 0 }),
    update: (c, p) => {
      let teacher = c.state["teacher"] as number[];
      let updates = c.state["updates"] as number;
      const at: number[] = [];
      for (const student of updatesOf(c)) {
        updates++;
        if (updates % p.interval !== 0) continue;
        // A teacher that the state does not have yet starts as the student.
        teacher = teacher.length === 0 ? [...student] : movedTowards(teacher, student, 1 - p.decay);
        at.push(updates);
      }
      if (c.hasRaw("student_params_by_step")) c.output("updated_at", at);
      return { teacher, updates };
    },
  },
  trains: { refuse: "needs the moving teacher's view of each rollout with the hint: supply logp_teacher" },
});
