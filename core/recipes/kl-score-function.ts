import { choice, defineRecipe, flag, number } from "../recipe.ts";
import { meanWhere } from "../rl/aggregate.ts";
import { klEstimate, klPenalty } from "../rl/kl.ts";
import { onPolicyRatio, tokenRatio } from "../rl/ratio.ts";

export default defineRecipe({
  id: "kl-score-function",
  paper: {
    title: "On a few pitfalls in KL divergence gradient estimation for RL",
    source: "NVIDIA-NeMo/RL@7ea279a nemo_rl/algorithms/utils.py",
  },
  stage: ["objective"],
  describe: `An option: the estimate times the probability of having sampled the token, so that the gradient has its
score-function term: on-policy exp(lp − sg(lp)), else the ratio to what the sampler reported. The log-ratio is clamped
to ±20 (there the weight has no gradient), the product to ±10; the divisor is Σ m + 1e-8.`,
  formula: "beta·clamp(w·k, ±10), w = exp(lp − sg(lp)) or exp(lp − lp_rollout)",
  params: {
    beta: number(0.01, "coefficient", { min: 0 }),
    kind: choice("k3", ["k1", "k2", "k3"], "estimator"),
    on_policy: flag(true, "whether the tokens are samples of the current policy"),
  },
  option: true,
  kl: (c, p) => {
    const d = c.logp.sub(c.logpRef);
    const weight = p.on_policy ? onPolicyRatio(c) : tokenRatio(c, { old: c.logpRollout });
    const w = d.stop().inside(-20, 20).where(weight, weight.stop());
    return klPenalty(c, klEstimate(d, p.kind, { inner: 20 }).mul(w).clamp(-10, 10), p.beta);
  },
  aggregate: (c, loss) => meanWhere(loss, c.kept, 1e-8),
});
