import { defineRecipe, number } from "../recipe.ts";
import { seqMeanTokenSum } from "../rl/aggregate.ts";
import { ppoClip } from "../rl/gate.ts";
import { levelRatio } from "../rl/ratio.ts";

export default defineRecipe({
  id: "luspo",
  paper: {
    title: "Length-Unbiased Sequence Policy Optimization",
    arxiv: "2602.05261",
    source: "TRL trl/trainer/grpo_trainer.py (loss_type luspo)",
  },
  stage: ["advantage", "objective"],
  describe: `GSPO's loss of a trajectory times its number of trained tokens, so that the gradient of a token no longer falls
with the length of its answer. A mean over all trajectories. The KL term, where there is one, is summed over the
trajectory's trained tokens (a TRL snapshot let padding in; that is not followed).`,
  formula:
    "loss = (1/N) Σ_i (Σ_t m)·[−min(s_i A_i, clip(s_i, 1−eps_lo, 1+eps_hi) A_i)], s_i = exp(mean_t(lp − lp_old))",
  params: {
    eps_lo: number(0.002, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.0025, "clip range above 1", { min: 0 }),
  },
  ratio: (c) => levelRatio(c, c.trajectory, "geometric"),
  gate: (c, s, p) => ppoClip(c, s, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }),
  aggregate: (c, loss) => seqMeanTokenSum(c, loss),
});
