import { defineRecipe, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { NEEDS_TEACHER } from "../rl/distill.ts";
import { logRatio } from "../rl/ratio.ts";

export default defineRecipe({
  id: "opd-reverse-kl",
  paper: {
    title: "On-Policy Distillation (Thinking Machines)",
    source: "PrimeIntellect-ai/prime-rl@559b447 src/prime_rl/trainer/rl/loss.py (ref_kl_loss_fn)",
  },
  stage: ["objective"],
  describe: `Distillation on the student's own samples: the log-ratio of teacher (the reference policy) to the current
policy as advantage, no reward. Tokens whose probability fell by more than delta_lo since the rollout are left out of
the numerator; a quadratic penalty holds the log-ratio to the sampler.`,
  formula:
    "a = sg(lp_ref − lp); ℓ = −keep·a·exp(lp − lp_rollout) + kl_tau·(lp − lp_rollout)², keep = [e^lp − e^lp_rollout ≥ −delta_lo]",
  params: {
    delta_lo: number(0.2, "fall of a token's probability that is let through", { min: 0 }),
    kl_tau: number(0.001, "weight of the penalty", { min: 0 }),
  },
  trains: NEEDS_TEACHER,
  loss: (c, p) => {
    const keep = c.logp.stop().exp().sub(c.logpRollout.exp()).ge(-p.delta_lo);
    const d = logRatio(c, { old: c.logpRollout });
    const gain = c.logpRef.sub(c.logp).stop().mul(d.exp()).mul(keep);
    return tokenMean(c, d.square().mul(p.kl_tau).sub(gain));
  },
});
