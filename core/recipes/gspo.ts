import { defineRecipe, number } from "../recipe.ts";
import { ppoClip } from "../rl/gate.ts";
import { levelRatio } from "../rl/ratio.ts";

export default defineRecipe({
  id: "gspo",
  paper: { title: "Group Sequence Policy Optimization", arxiv: "2507.18071" },
  stage: ["advantage", "objective"],
  describe: `One length-normalised importance ratio a trajectory in place of one a token, clipped as a whole; the gradient
flows through it to all tokens alike. The clip range is accordingly two orders smaller. verl also caps ln s at 10;
here s only saturates at e^±300. An all-masked trajectory adds 0 and counts in N.`,
  formula: "s_i = exp(mean_t(lp − lp_old)); loss = −(1/N) Σ_i min(s_i A_i, clip(s_i, 1−eps_lo, 1+eps_hi) A_i)",
  params: {
    eps_lo: number(0.0003, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.0004, "clip range above 1", { min: 0 }),
  },
  ratio: (c) => levelRatio(c, c.trajectory, "geometric"),
  gate: (c, s, p) => ppoClip(c, s, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }),
});
