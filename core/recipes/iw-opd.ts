import { defineRecipe, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { NEEDS_TEACHER } from "../rl/distill.ts";
import { tokenLogp } from "../rl/entropy.ts";

export default defineRecipe({
  id: "iw-opd",
  paper: {
    title: "Importance-weighted on-policy distillation (TRL iw_opd)",
    source: "huggingface/trl@f2cd577 trl/experimental/iw_opd/iw_opd_trainer.py",
  },
  stage: ["objective"],
  describe: `Distillation on the student's own samples, early tokens weighing more: by the share of the trajectory's
disagreement with the teacher that is still to come. Log-probabilities from logits and logits_ref, where the batch has
them, else logp and logp_ref; gradient through the student's alone.`,
  formula: "a = sg(lp_T − lp); w_t = 1 + gamma·(1 − Σ_{u<t}|a_u| / Σ_u|a_u|); loss = −Σ m·w·a·lp / Σ m",
  params: {
    gamma: number(1, "extra weight of the first token", { min: 0 }),
    eps: number(1e-8, "least disagreement to divide by", { min: 0 }),
  },
  trains: NEEDS_TEACHER,
  loss: (c, p) => {
    const full = c.has("logits");
    const logp = full ? tokenLogp(c, c.field("logits")) : c.logp;
    const teacher = full ? tokenLogp(c, c.field("logits_ref")) : c.logpRef;
    const a = teacher.sub(logp).stop().mul(c.mask);
    const before = a.abs().cumulate(c.trajectory).sub(a.abs());
    const share = before.div(a.abs().sumOver(c.trajectory).max(p.eps));
    return tokenMean(c, share.not().mul(p.gamma).add(1).mul(a).mul(logp).neg());
  },
});
