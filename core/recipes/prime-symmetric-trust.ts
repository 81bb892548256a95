import { defineRecipe, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { probabilityMove } from "../rl/gate.ts";
import { logRatio, tokenRatio } from "../rl/ratio.ts";

export default defineRecipe({
  id: "prime-symmetric-trust",
  paper: { title: "prime-rl ipo loss", source: "prime-rl src/prime_rl/trainer/rl/loss.py" },
  stage: ["objective"],
  describe: `Every token whose probability has moved further than a threshold from the inference policy's loses its policy
gradient, whatever the sign of its advantage. The ratio is not clipped; the squared log-ratio pulls every token back,
dropped ones too. Token mean over the step; the advantage is plain GRPO's. (No relation to the preference loss IPO.)`,
  formula: "ℓ = −[|p − μ| ≤ threshold]·adv_tau·A·ρ + kl_tau·(lp − lp_rollout)², ρ = exp(lp − lp_rollout)",
  params: {
    threshold: number(0.1, "largest move in probability", { min: 0 }),
    adv_tau: number(1, "coefficient of the policy term"),
    kl_tau: number(0.001, "coefficient of the squared log-ratio", { min: 0 }),
  },
  ratio: (c) => tokenRatio(c, { old: c.logpRollout }),
  gate: (c, ratio, p) => {
    const keep = probabilityMove(c, c.logpRollout).abs().le(p.threshold);
    return keep.mul(c.advantage).mul(ratio).mul(-p.adv_tau);
  },
  kl: (c, p) => logRatio(c, { old: c.logpRollout }).square().mul(p.kl_tau),
  aggregate: tokenMean,
});
