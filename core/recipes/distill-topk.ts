import { defineRecipe, flag, integer, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { divergence, logSumExpWhere, NEEDS_TEACHER_ROWS, tailLogp } from "../rl/distill.ts";
import { logSoftmax } from "../rl/entropy.ts";
import { largest } from "../rl/filter.ts";
import type { Vec } from "../rl/vec.ts";

export default defineRecipe({
  id: "distill-topk",
  paper: {
    title: "Self-distillation policy optimisation (TRL sdpo)",
    source: "huggingface/trl@f2cd577 trl/experimental/sdpo/loss_utils.py",
  },
  stage: ["objective"],
  describe: `Distillation over the student's own k likeliest tokens and one bucket for the rest (tail), or renormalised
over them; forward, reverse or Jensen–Shannon divergence. The choice of tokens has no gradient.`,
  formula:
    "S, T over top-k of S plus 1 − ΣP; loss = mean_t (1−alpha)·KL(S‖M) + alpha·KL(T‖M); alpha 0: KL(T‖S), 1: KL(S‖T)",
  params: {
    k: integer(100, "entries of the student", { min: 1 }),
    alpha: number(0.5, "0: forward, 1: reverse KL, between: mixture", { min: 0, max: 1 }),
    tail: flag(true, "one bucket for all other tokens, in place of renormalising"),
  },
  trains: NEEDS_TEACHER_ROWS,
  rows: (c, p) => {
    const [student, teacher] = ["logits", "logits_ref"].map((z) => logSoftmax(c.field(z), c.token));
    const top = largest(c, student, p.k, c.token);
    const row = (x: Vec) => (p.tail ? x : x.sub(logSumExpWhere(x, c.token, top)));
    const inside = divergence(row(student), row(teacher), p.alpha).mul(top).sumOver(c.token);
    const rest = (x: Vec) => tailLogp(x, c.token, top);
    return p.tail ? inside.add(divergence(rest(student), rest(teacher), p.alpha)) : inside;
  },
  loss: (c) => {
    c.output("kl", c.row.mul(c.mask));
    return tokenMean(c, c.row);
  },
});
