import { defineRecipe, none } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { NEEDS_TEACHER } from "../rl/distill.ts";
import { tokenRatio } from "../rl/ratio.ts";

export default defineRecipe({
  id: "opd-policy-gradient",
  paper: {
    title: "On-Policy Distillation (Thinking Machines)",
    source:
      "verl-project/verl@1dda039 verl/trainer/distillation/losses.py; THUDM/slime@624b824 slime/backends/megatron_utils/loss.py",
  },
  stage: ["advantage", "objective"],
  describe: `Distillation on the student's own samples: the advantage of a token is the log-ratio of teacher (the
reference policy) to rollout policy, then PPO clip (log-ratio clamped to ±20) over the token mean. verl takes the log-
ratio at the current policy instead.`,
  formula: "A_t = lp_ref − lp_old; loss = Σ m·[−min(ρA, clip(ρ)A)] / Σ m",
  params: {},
  trains: NEEDS_TEACHER,
  advantage: (c) => c.logpRef.sub(c.logpOld).mul(c.mask),
  ratio: (c) => tokenRatio(c, { limit: 20 }),
  kl: none,
  aggregate: tokenMean,
});
