import { defineRecipe, flag, none, number, range } from "../recipe.ts";
import { trajectoryMean } from "../rl/aggregate.ts";
import { leaveOneOut, zScore } from "../rl/baseline.ts";
import { levelRatio } from "../rl/ratio.ts";

export default defineRecipe({
  id: "rloo",
  paper: {
    title: "Back to Basics: Revisiting REINFORCE Style Optimization for Learning from Human Feedback in LLMs",
    arxiv: "2402.14740",
  },
  stage: ["reward", "advantage", "objective"],
  describe: `The formula is that of TRL's RLOOTrainer; the paper has plain REINFORCE, without ratio and clip: the same gradient
as long as there is one optimiser step a batch. The baseline is the mean reward of the group's other rollouts; the KL to the
reference is taken out of the trajectory's reward and has no term in the loss; one ratio a trajectory, the product over its
tokens, with a PPO clip. A group of one has advantage 0. An all-masked trajectory has ratio 1: it adds −A to the loss and no
gradient.`,
  formula:
    "R' = clip(R) − beta·Σ_t(lp_old − lp_ref); A = R' − mean of the others; loss = −(1/N) Σ_i min(ρ_i A_i, clip(ρ_i) A_i)",
  params: {
    beta: number(0.05, "coefficient of the KL inside the reward", { min: 0 }),
    normalize: flag(false, "divide by the deviation over the batch"),
    reward_clip: range(null, "clip of the reward before the KL; null: none"),
  },
  reward: (c, p) => {
    const [lo, hi] = p.reward_clip ?? [null, null];
    const clipped = c.reward.clamp(lo, hi);
    if (p.beta === 0) return clipped;
    return clipped.sub(c.mask.mul(c.logpOld.sub(c.logpRef)).sumOver(c.trajectory).mul(p.beta));
  },
  advantage: (c, p) => {
    const weight = c.optional("reward.present");
    const a = leaveOneOut(c.reward, c.group, weight);
    return p.normalize ? zScore(a, c.all, { eps: 1e-4, weight }) : a;
  },
  ratio: (c) => levelRatio(c, c.trajectory, "product"),
  kl: none,
  aggregate: trajectoryMean,
});
