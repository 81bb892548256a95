import { defineRecipe, number } from "../recipe.ts";
import { trajectoryMean } from "../rl/aggregate.ts";
import { implicitReward } from "../rl/preference.ts";

export default defineRecipe({
  id: "kto",
  paper: {
    title: "KTO: Model Alignment as Prospect Theoretic Optimization",
    source: "huggingface/trl@f2cd577 trl/trainer/kto_trainer.py",
  },
  stage: ["preference"],
  describe: `No pairs: each answer is labelled good or bad (correct), and its implicit reward is valued against a
reference point, the KL of the policy on mismatched prompts and answers, which has no gradient and is at least 0.`,
  formula:
    "κ = max(0, mean(seq_logp_kl − seq_logp_kl_ref)); good: w_pos·(1 − σ(beta(h − κ))), bad: w_neg·(1 − σ(beta(κ − h)))",
  params: {
    beta: number(0.1, "strength of the pull to the reference", { min: 0 }),
    w_pos: number(1, "weight of good answers", { min: 0 }),
    w_neg: number(1, "weight of bad answers", { min: 0 }),
  },
  fields: { seq_logp_kl: "trajectory", seq_logp_kl_ref: "trajectory" },
  trains: {
    data: "labels",
    refuse:
      "needs the log-probabilities of mismatched prompts and completions: supply seq_logp_kl and seq_logp_kl_ref, or take apo-zero-unpaired, which does without",
  },
  loss: (c, p) => {
    const mismatched = c.field("seq_logp_kl").sub(c.field("seq_logp_kl_ref"));
    const kappa = mismatched.meanOver(c.all).max(0).stop();
    c.output("kl", kappa);
    const x = implicitReward(c).sub(kappa).mul(p.beta);
    const good = x.neg().sigmoid().mul(p.w_pos);
    const bad = x.sigmoid().mul(p.w_neg);
    return trajectoryMean(c, c.field("correct").where(good, bad));
  },
});
