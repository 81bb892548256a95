import { defineRecipe, number } from "../recipe.ts";
import { logSoftmax, tokenLogp } from "../rl/entropy.ts";
import { implicitReward, meanLogp, NEEDS_PAIRS, pairMean, pairs } from "../rl/preference.ts";

export default defineRecipe({
  id: "wpo",
  paper: {
    title: "WPO: Enhancing RLHF with Weighted Preference Optimization",
    source: "huggingface/trl@f2cd577 trl/trainer/dpo_trainer.py",
  },
  stage: ["preference"],
  describe: `DPO whose pairs weigh by how probable their answers are under the policy, against the probability that a
sample of its own would have: off-policy pairs count less. The weight has no gradient and is not capped at 1. From logits and
logits_ref where the batch has them, else from logp, logp_ref and sum_pi_sq, the sum of p² of each token's distribution.`,
  formula: "w_i = exp(mean_t (lp − ln Σ_v p_v²)); loss = mean of w_w·w_l·(−ln σ(beta·Δ))",
  params: { beta: number(0.1, "strength of the pull to the reference", { min: 0 }) },
  fields: { sum_pi_sq: "token" },
  trains: NEEDS_PAIRS,
  loss: (c, p) => {
    const rows = c.has("logits");
    const logp = rows ? tokenLogp(c, c.field("logits")) : c.logp;
    const reference = rows ? tokenLogp(c, c.field("logits_ref")) : c.logpRef;
    const expected = rows
      ? logSoftmax(c.field("logits"), c.token).mul(2).logSumExpOver(c.token)
      : c.field("sum_pi_sq").log();
    const weight = meanLogp(c, logp.sub(expected)).exp().stop();
    const { chosen, rejected } = pairs(c);
    const h = implicitReward(c, logp, reference);
    const x = chosen(h).sub(rejected(h)).mul(p.beta);
    return pairMean(chosen(weight).mul(rejected(weight)).mul(x.logSigmoid()).neg());
  },
});
