import { defineRecipe, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { divergence, NEEDS_TEACHER_ROWS } from "../rl/distill.ts";
import { logSoftmax } from "../rl/entropy.ts";

export default defineRecipe({
  id: "gkd-forward-kl",
  paper: {
    title: "On-Policy Distillation of Language Models: Learning from Self-Generated Mistakes",
    source: "huggingface/trl@f2cd577 trl/experimental/gkd/gkd_trainer.py",
  },
  stage: ["objective"],
  describe: `Distillation from a teacher's full distribution (logits_ref): the student must cover all that the teacher
does. Mean over trained tokens, not multiplied by temperature². Answers are given, or sampled as in gkd-jsd.`,
  formula: "loss = mean_t KL(P_T ‖ P_S), both softmax(z/temperature)",
  params: {
    beta: number(0, "0: forward KL; gkd-jsd lies between", { min: 0, max: 0 }),
    temperature: number(0.9, "divides both logits", { min: 0.01 }),
    lmbda: number(0.5, "share of steps on a data set whose answers the student samples", { min: 0, max: 1 }),
  },
  trains: { ...NEEDS_TEACHER_ROWS, sampled: "lmbda" },
  rows: (c, p) => {
    const [student, teacher] = ["logits", "logits_ref"].map((z) => logSoftmax(c.field(z).div(p.temperature), c.token));
    return divergence(student, teacher, p.beta).sumOver(c.token);
  },
  loss: (c) => tokenMean(c, c.row),
});
