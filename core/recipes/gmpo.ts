import { defineRecipe, none, number } from "../recipe.ts";
import { logRatio } from "../rl/ratio.ts";

export default defineRecipe({
  id: "gmpo",
  paper: {
    title: "Geometric-Mean Policy Optimization",
    arxiv: "2507.20673",
    source: "verl verl/trainer/ppo/core_algos.py (geo_mean); TRL trl/experimental/gmpo",
  },
  stage: ["advantage", "objective"],
  describe: `One ratio a trajectory, the geometric mean of its token ratios, each clipped first on the side where its advantage
pushes; no clip of the mean. The bounds are those of the log-ratio. An all-masked trajectory adds 0 and counts in N.
No KL term.`,
  formula:
    "s_i = exp(mean_t d'), d' = A > 0: min(d, eps_hi), A < 0: max(d, −eps_lo), d = lp − lp_old; loss = −(1/N) Σ_i A_i s_i",
  params: {
    eps_lo: number(0.4, "clip of the log-ratio below 0, nats", { min: 0 }),
    eps_hi: number(0.4, "clip of the log-ratio above 0, nats", { min: 0 }),
  },
  ratio: (c, p) => {
    const d = logRatio(c);
    const clipped = c.advantage.gt(0).where(d.min(p.eps_hi), d.max(-p.eps_lo));
    return clipped.meanOver(c.trajectory, c.mask).exp();
  },
  gate: (c, s) => s.mul(c.advantage).neg(),
  kl: none,
});
