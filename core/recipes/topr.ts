import { defineRecipe, flag, none, number } from "../recipe.ts";
import { seqMeanTokenMean, seqMeanTokenSum } from "../rl/aggregate.ts";
import { levelRatio } from "../rl/ratio.ts";

export default defineRecipe({
  id: "topr",
  paper: {
    title: "Tapered Off-Policy REINFORCE: Stable and efficient reinforcement learning for LLMs",
    arxiv: "2503.14286",
  },
  stage: ["objective"],
  describe: `REINFORCE on samples of another policy with asymmetric sequence ratios: right answers have full weight, as in
supervised learning, wrong ones the ratio cut to [0, 1], so that their push fades once the policy has left them. No group,
no KL. Rewards are meant to be +1 and −1; baseline shifts them and with that decides the branch (0 adds nothing).`,
  formula:
    "loss = −(1/N) Σ_i alpha_i (R_i − c)(1/T_i) Σ_t m·lp; alpha = clip(Π ρ, a_pos, b_pos) if R > c, else a_neg, b_neg",
  params: {
    a_pos: number(1, "lower bound of the weight where the reward is above the baseline", { min: 0 }),
    b_pos: number(1, "upper bound there", { min: 0 }),
    a_neg: number(0, "lower bound of the weight elsewhere", { min: 0 }),
    b_neg: number(1, "upper bound there", { min: 0 }),
    baseline: number(0, "c, taken off every reward; −1 leaves out wrong answers"),
    length_normalise: flag(true, "whether a trajectory's sum is divided by its trained tokens"),
  },
  advantage: (c, p) => c.reward.sub(p.baseline),
  ratio: (c) => levelRatio(c, c.trajectory, "product"),
  gate: (c, ratio, p) => {
    const right = c.advantage.gt(0);
    const alpha = right.where(ratio.clamp(p.a_pos, p.b_pos), ratio.clamp(p.a_neg, p.b_neg)).stop();
    c.output("weight", alpha);
    return alpha.mul(c.advantage).mul(c.logp).neg();
  },
  kl: none,
  aggregate: (c, loss, p) => (p.length_normalise ? seqMeanTokenMean(c, loss) : seqMeanTokenSum(c, loss)),
});
