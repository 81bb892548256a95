import { defineRecipe, optional } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { divergence, NEEDS_TEACHER_ROWS } from "../rl/distill.ts";
import { logSoftmax } from "../rl/entropy.ts";
import { largest } from "../rl/filter.ts";

export default defineRecipe({
  id: "distill-forward-kl-topk",
  paper: {
    title: "verl on-policy distillation (forward_kl_topk)",
    source: "verl-project/verl@1dda039 verl/trainer/distillation/fsdp/losses.py",
  },
  stage: ["objective"],
  describe: `Distillation where the teacher ships its k likeliest tokens alone: forward KL over those, not
renormalised, at least 0 (without gradient where that bound is active); log-probabilities have a floor, without
gradient there.`,
  formula: "k_t = max(0, Σ_{v∈top-k of T} P_T(ln P_T − ln P_S)); loss = Σ m·k_t / Σ m",
  params: {
    k: { ...optional(null, "entries that the teacher ships; null: all", { min: 1 }), type: "integer" },
    logp_min: optional(null, "floor of the log-probabilities; null: none"),
  },
  trains: NEEDS_TEACHER_ROWS,
  rows: (c, p) => {
    const [student, teacher] = ["logits", "logits_ref"].map((z) => logSoftmax(c.field(z), c.token));
    const shipped = largest(c, teacher, p.k ?? Number.POSITIVE_INFINITY, c.token);
    const terms = divergence(student.clamp(p.logp_min, null), teacher.clamp(p.logp_min, null), 0);
    return c.number(0, c.token).max(terms.mul(shipped).sumOver(c.token));
  },
  loss: (c) => {
    c.output("kl", c.row.mul(c.mask));
    return tokenMean(c, c.row);
  },
});
