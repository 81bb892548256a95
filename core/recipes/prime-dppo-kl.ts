import { defineRecipe, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { probabilityTrust } from "../rl/gate.ts";
import { logRatio, tokenRatio } from "../rl/ratio.ts";

export default defineRecipe({
  id: "prime-dppo-kl",
  paper: {
    title: "prime-rl default loss (DPPO-Binary-TV with the Kimi K2.5 KL)",
    source: "prime-rl src/prime_rl/trainer/rl/loss.py",
  },
  stage: ["objective"],
  describe: `The ratio is taken to the inference policy, not clipped, with gradient; a token is dropped if its probability has
moved further than delta in the direction its advantage pushes. The squared log-ratio pulls every token back, dropped
ones too. Token mean over the step; the advantage is plain GRPO's.`,
  formula: "ℓ = −keep·adv_tau·A·ρ + kl_tau·(lp − lp_rollout)², ρ = exp(lp − lp_rollout)",
  params: {
    delta_lo: number(0.2, "largest fall in probability", { min: 0 }),
    delta_hi: number(0.2, "largest rise in probability", { min: 0 }),
    adv_tau: number(1, "coefficient of the policy term"),
    kl_tau: number(0.001, "coefficient of the squared log-ratio", { min: 0 }),
  },
  ratio: (c) => tokenRatio(c, { old: c.logpRollout }),
  gate: (c, ratio, p) => {
    const keep = probabilityTrust(c, c.logpRollout, { lo: p.delta_lo, hi: p.delta_hi });
    return keep.mul(c.advantage).mul(ratio).mul(-p.adv_tau);
  },
  kl: (c, p) => logRatio(c, { old: c.logpRollout }).square().mul(p.kl_tau),
  aggregate: tokenMean,
});
