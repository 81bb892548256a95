import { defineRecipe, number } from "../recipe.ts";
import { seqMeanTokenMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { ppoClip } from "../rl/gate.ts";
import { klPenalty, klToReference } from "../rl/kl.ts";
import { tokenRatio } from "../rl/ratio.ts";

export default defineRecipe({
  id: "grpo",
  paper: {
    title: "DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language Models",
    arxiv: "2402.03300",
  },
  stage: ["advantage", "objective"],
  describe: `The ground that other recipes vary: the group's z-scored outcome reward is the advantage of every token,
the token ratio is clipped as in PPO, and the loss is a mean over tokens inside a trajectory, then over trajectories.
The group's standard deviation is that with n − 1, as in TRL and verl.
A group of one or of equal rewards has advantage 0; an all-masked trajectory adds 0 and counts in N (as in TRL).
The KL term is k3 with its own gradient, off by default (the paper's beta is 0.04).`,
  formula:
    "A = (R − mean_g)/(std_g + eps); loss = (1/N) Σ_i (1/T_i) Σ_t [−min(ρA, clip(ρ, 1−eps_lo, 1+eps_hi)A) + beta·k3]",
  params: {
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    beta: number(0, "coefficient of the k3 penalty to the reference", { min: 0 }),
    eps_std: number(1e-4, "added to the group's standard deviation", { min: 0 }),
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.eps_std, weight: c.optional("reward.present") }),
  ratio: (c) => tokenRatio(c),
  gate: (c, ratio, p) => ppoClip(c, ratio, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }),
  kl: (c, p) => (p.beta === 0 ? c.number(0) : klPenalty(c, klToReference(c, "k3"), p.beta)),
  aggregate: (c, loss) => seqMeanTokenMean(c, loss),
});
