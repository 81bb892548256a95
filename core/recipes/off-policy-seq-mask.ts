import { defineRecipe, none, number, optional } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { ppoClip } from "../rl/gate.ts";
import { mismatch, overSequence } from "../rl/mismatch.ts";

export default defineRecipe({
  id: "off-policy-seq-mask",
  paper: {
    title: "DeepSeek-V3.2: Pushing the Frontier of Open Large Language Models",
    source: "TRL trl/trainer/grpo_trainer.py (get_off_policy_mask); slime slime/utils/ppo_utils.py (compute_opsm_mask)",
  },
  stage: ["filter"],
  describe: `DAPO's objective without the trajectories of negative advantage whose mean log-ratio to the sampler has drifted too
far: learning from old mistakes harms most. Judged anew at every optimiser step, hence part of the gate and not of the
filter; no gradient through it. Dropped tokens stay in the divisor.`,
  formula: "keep_i = A_i ≥ 0 or mean_t(lp_rollout − lp) ≤ threshold; loss = Σ m·keep·ℓ / Σ m",
  params: {
    off_policy_threshold: optional(null, "largest drift where A < 0, nats a token; null: all stay"),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.28, "clip range above 1", { min: 0 }),
  },
  gate: (c, ratio, p) => {
    const drift = overSequence(c, mismatch(c, c.logp), "mean").neg();
    const limit = p.off_policy_threshold;
    const keep = limit === null ? c.number(1, c.trajectory) : c.advantage.ge(0).or(drift.le(limit));
    c.outputFlags("keep", keep);
    return ppoClip(c, ratio, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }).mul(keep);
  },
  kl: none,
  aggregate: tokenMean,
});
