import { defineRecipe, number } from "../recipe.ts";
import { ppoClip } from "../rl/gate.ts";
import { levelRatio, withTokenGradient } from "../rl/ratio.ts";

export default defineRecipe({
  id: "gspo-token",
  paper: {
    title: "Group Sequence Policy Optimization",
    source: "TRL trl/experimental/gspo_token/grpo_trainer.py",
  },
  stage: ["objective"],
  describe: `GSPO whose trajectory ratio is stop-gradiented and carried by each token, so that advantages may differ inside a
trajectory: every token is clipped alike and has its own gradient. With one advantage a trajectory it equals GSPO.`,
  formula: "s_{i,t} = sg(s_i)·exp(lp − sg(lp)); ℓ = −min(s_{i,t} A_{i,t}, clip(s_{i,t}, 1−eps_lo, 1+eps_hi) A_{i,t})",
  params: {
    eps_lo: number(0.0003, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.0004, "clip range above 1", { min: 0 }),
  },
  ratio: (c) => withTokenGradient(c, levelRatio(c, c.trajectory, "geometric")),
  gate: (c, s, p) => ppoClip(c, s, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }),
});
