import { defineRecipe, none, number } from "../recipe.ts";
import { meanWhere } from "../rl/aggregate.ts";

export default defineRecipe({
  id: "positive-example-nll",
  paper: {
    title: "VAPO: Efficient and Reliable Reinforcement Learning for Advanced Reasoning Tasks",
    source: "NVIDIA-NeMo/RL@7ea279a nemo_rl/algorithms/loss/loss_functions.py",
  },
  stage: ["objective"],
  describe: `PPO clip on given advantages (else GRPO's) plus the negative log-likelihood of the rewarded rollouts, one
token mean over all of them; 0 where none is rewarded. Divisors are Σ m + 1e-8. No weight for a sampler that differs.`,
  formula: "loss = Σ m·ℓ_ppo / (Σ m + 1e-8) + mu·Σ_{R>0} m(−lp) / (Σ_{R>0} m + 1e-8)",
  params: {
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.28, "clip range above 1", { min: 0 }),
    mu: number(0.1, "weight of the likelihood", { min: 0 }),
  },
  kl: none,
  aggregate: (c, loss) => meanWhere(loss, c.kept, 1e-8),
  aux: (c, p) => meanWhere(c.logp.neg(), c.mask.mul(c.reward.gt(0)), 1e-8).mul(p.mu),
});
