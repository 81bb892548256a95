import { defineRecipe, number } from "../recipe.ts";
import { logSoftmax, tokenLogp } from "../rl/entropy.ts";
import { implicitReward, meanLogp, pairMean, pairs } from "../rl/preference.ts";

export default defineRecipe({
  id: "wpo",
  paper: {
    title: "WPO: Enhancing RLHF with Weighted Preference Optimization",
    source: "huggingface/trl@f2cd577 trl/trainer/dpo_trainer.py",
  },
  stage: ["preference"],
  describe: `DPO whose pairs weigh by how probable their answers are under the policy, against the probability that a
sample of its own would have: off-policy pairs count less. The weight has no gradient and is not capped at 1.`,
  formula: "w_i = exp(mean_t (lp − ln Σ_v p_v²)); loss = mean of w_w·w_l·(−ln σ(beta·Δ))",
  params: { beta: number(0.1, "strength of the pull to the reference", { min: 0 }) },
  trains: {
    refuse:
      "needs rows over the vocabulary of pairs, which the trainer does not keep: supply logits, logits_ref and pairs",
  },
  loss: (c, p) => {
    const logits = c.field("logits");
    const logp = tokenLogp(c, logits);
    const expected = logSoftmax(logits, c.token).mul(2).logSumExpOver(c.token);
    const weight = meanLogp(c, logp.sub(expected)).exp().stop();
    const { chosen, rejected } = pairs(c);
    const h = implicitReward(c, logp, tokenLogp(c, c.field("logits_ref")));
    const x = chosen(h).sub(rejected(h)).mul(p.beta);
    return pairMean(chosen(weight).mul(rejected(weight)).mul(x.logSigmoid()).neg());
  },
});
