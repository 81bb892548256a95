import { defineRecipe, number } from "../recipe.ts";
import { NEEDS_PAIRS, pairMean, pairScores } from "../rl/preference.ts";

export default defineRecipe({
  id: "discopop",
  paper: {
    title: "Discovering Preference Optimization Algorithms with and for Large Language Models",
    source: "huggingface/trl@f2cd577 trl/trainer/dpo_trainer.py",
  },
  stage: ["preference"],
  describe: `Pairs, no rollouts. The loss that a language model proposed and a search kept: logistic where the pair is
in order, turning exponential around 0. The product of gate and exponential is taken as one exponential, finite
everywhere.`,
  formula: "x = beta·Δ, g = σ(x/tau); loss = mean of (1 − g)(−ln σ(x)) + g·exp(−x)",
  params: {
    beta: number(0.1, "strength of the pull to the reference", { min: 0 }),
    tau: number(0.05, "width of the turn from one loss to the other", { min: 1e-6 }),
  },
  trains: NEEDS_PAIRS,
  loss: (c, p) => {
    const { delta } = pairScores(c);
    const x = delta.mul(p.beta);
    const gate = x.div(p.tau);
    return pairMean(gate.logSigmoid().sub(x).exp().sub(gate.sigmoid().not().mul(x.logSigmoid())));
  },
});
