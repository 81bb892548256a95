import { defineRecipe, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { klPenalty, weightedKl } from "../rl/kl.ts";
import { onPolicyRatio } from "../rl/ratio.ts";

export default defineRecipe({
  id: "force-on-policy-ratio",
  paper: {
    title: "NeMo-RL force_on_policy_ratio",
    source: "NeMo-RL nemo_rl/algorithms/loss/loss_functions.py",
  },
  stage: ["objective"],
  describe: `The ratio is 1 by construction and has the gradient of the score, so that no old log-probabilities are computed:
right where one update is made per rollout. k3 penalty in its score-function form, clamped to ±20 inside and ±10 outside.
Token mean; the advantage is plain GRPO's.`,
  formula: "ℓ = −A·exp(lp − sg(lp)) + beta·k3·exp(lp − sg(lp)); loss = Σ m·ℓ / Σ m",
  params: { beta: number(0.01, "coefficient of the penalty to the reference", { min: 0 }) },
  ratio: (c) => onPolicyRatio(c),
  gate: (c, ratio) => ratio.mul(c.advantage).neg(),
  kl: (c, p) => {
    if (p.beta === 0) return c.number(0);
    return klPenalty(c, weightedKl(c.logp.sub(c.logpRef), "k3", onPolicyRatio(c), { inner: 20, outer: 10 }), p.beta);
  },
  aggregate: tokenMean,
});
