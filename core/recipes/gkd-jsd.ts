import { defineRecipe, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { divergence, NEEDS_TEACHER_ROWS } from "../rl/distill.ts";
import { logSoftmax } from "../rl/entropy.ts";

export default defineRecipe({
  id: "gkd-jsd",
  paper: {
    title: "On-Policy Distillation of Language Models: Learning from Self-Generated Mistakes",
    arxiv: "2306.13649",
  },
  stage: ["objective"],
  describe: `Distillation from a teacher's full distribution (logits_ref): the generalised Jensen–Shannon divergence
between both, mean over trained tokens, not multiplied by temperature². On given answers and, in a share lmbda of the steps,
on the student's own to the same prompts; from rollouts on its own alone.`,
  formula: "M = (1−beta)·P_s + beta·P_t; loss = mean_t [beta·KL(P_t‖M) + (1−beta)·KL(P_s‖M)]",
  params: {
    beta: number(0.5, "share of the teacher in the mixture", { min: 0.001, max: 0.999 }),
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
