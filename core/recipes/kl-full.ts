import { defineRecipe, number } from "../recipe.ts";
import { divergence } from "../rl/distill.ts";
import { logSoftmax } from "../rl/entropy.ts";
import { klPenalty } from "../rl/kl.ts";

export default defineRecipe({
  id: "kl-full",
  paper: { title: "Full-vocabulary KL (no paper)", source: "alibaba/ROLL@8eb27cc roll/utils/functionals.py" },
  stage: ["objective"],
  describe: `An option: the exact KL of the policy to the reference over the vocabulary, in place of an estimate from
one token; no variance, at the price of a row of logits of both models for each token.`,
  formula: "beta·Σ_v p_v (ln p_v − ln q_v), p = softmax(logits), q = softmax(logits_ref)",
  params: { beta: number(0.1, "coefficient", { min: 0 }) },
  option: true,
  rows: (c) => {
    const [policy, reference] = ["logits", "logits_ref"].map((z) => logSoftmax(c.field(z), c.token));
    return divergence(policy, reference, 1).sumOver(c.token);
  },
  kl: (c, p) => klPenalty(c, c.row, p.beta),
});
