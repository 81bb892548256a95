import { defineRecipe, flag, none, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { score } from "../rl/gate.ts";
import { mismatch, overSequence } from "../rl/mismatch.ts";
import { logRatio } from "../rl/ratio.ts";
import { log } from "../rl/scalar.ts";
import type { Vec } from "../rl/vec.ts";

export default defineRecipe({
  id: "vespo",
  paper: {
    title: "Variational Sequence-Level Soft Policy Optimization",
    arxiv: "2602.10693",
    source: "TRL trl/trainer/grpo_trainer.py (get_gamma_weights)",
  },
  stage: ["advantage", "objective"],
  describe: `No clip: the product of a trajectory's ratios goes through a Gamma-shaped curve that is 1 at ratio 1 and falls on
both sides, other for negative advantages; the result is a weight of REINFORCE without gradient. Log-ratios are clamped
to ±20 a token and to [ln 1e-8, 20] a trajectory, and nothing normalises for length. Token mean, no KL term.`,
  formula: "φ_i = exp(λ + k ln w_i − λ w_i), ln w_i = Σ_t m(lp − lp_old); loss = −Σ m·sg(φ_i)·A_i·lp / Σ m",
  params: {
    k_pos: number(2, "k where A ≥ 0", { min: 0 }),
    lambda_pos: number(3, "λ where A ≥ 0, at least 1e-4", { min: 0 }),
    k_neg: number(3, "k where A < 0", { min: 0 }),
    lambda_neg: number(2, "λ where A < 0, at least 1e-4", { min: 0 }),
    rollout_weights: flag(false, "add the log-ratios of trainer to sampler, clamped alike"),
  },
  ratio: (c, p) => {
    const bounded = (d: Vec): Vec => overSequence(c, d.clamp(-20, 20), "sum").clamp(log(1e-8), 20);
    const logW = bounded(logRatio(c).stop());
    const total = p.rollout_weights ? logW.add(bounded(mismatch(c))) : logW;
    const positive = c.advantage.ge(0);
    const k = positive.where(p.k_pos, p.k_neg);
    const lambda = positive.where(Math.max(p.lambda_pos, 1e-4), Math.max(p.lambda_neg, 1e-4));
    return lambda.add(k.mul(total)).sub(lambda.mul(total.exp())).exp().stop();
  },
  gate: (c, phi) => score(c, c.advantage).mul(phi),
  kl: none,
  aggregate: tokenMean,
});
