import { choice, defineRecipe, integer, number } from "../recipe.ts";
import { seqMeanTokenMean, trajectoryMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { klPenalty, klToReference } from "../rl/kl.ts";
import { logRatio } from "../rl/ratio.ts";

const KL = "k3, mean over tokens then trajectories";

export default defineRecipe({
  id: "reg-grpo",
  paper: {
    title: "DeepVideo-R1: Video Reinforcement Fine-Tuning via Difficulty-aware Regressive GRPO",
    arxiv: "2506.07464",
  },
  stage: ["objective", "sampler", "application"],
  describe: `No clip: the group-normalised log-ratio of each trajectory is regressed on its group-normalised reward, with the
derivative through the log-ratios' mean and deviation. Where all log-ratios of a group are equal (the first on-policy
step) only adv_eps gives a slope. Making inputs harder or easier is the task's: output difficulty_gap (mean reward of each
group less that of the last steps) says which. adv_eps, beta and window are ours.`,
  formula: "x_i = Σ m(lp − lp_old); loss = mean_i (Z_g(R)_i − Z_g(x)_i)² + beta·k3",
  params: {
    adv_eps: number(1e-6, "added to both standard deviations", { min: 0 }),
    beta: number(0.04, "coefficient of the penalty to the reference", { min: 0 }),
    std_ddof: number(0, "divisor n − ddof of the variances", { min: 0, max: 1 }),
    kl: choice(KL, [KL], "how the penalty is averaged"),
    window: integer(8, "steps whose mean reward difficulty_gap compares with", { min: 1 }),
  },
  advantage: (c, p) => {
    const recent = c.state["rewards"] as number[];
    const usual = recent.length > 0 ? recent.reduce((a, b) => a + b, 0) / recent.length : undefined;
    const mean = c.reward.meanOver(c.group);
    c.output("difficulty_gap", usual === undefined ? mean.mul(0) : mean.sub(usual));
    return zScore(c.reward, c.group, { eps: p.adv_eps, ddof: p.std_ddof });
  },
  loss: (c, p) => {
    const moved = c.mask.mul(logRatio(c)).sumOver(c.trajectory);
    const predicted = zScore(moved, c.group, { eps: p.adv_eps, ddof: p.std_ddof });
    c.output("advantage_predicted", predicted);
    const loss = trajectoryMean(c, c.advantage.sub(predicted).square());
    return p.beta === 0 ? loss : loss.add(seqMeanTokenMean(c, klPenalty(c, klToReference(c, "k3"), p.beta)));
  },
  state: {
    init: () => ({ rewards: [] }),
    update: (c, p) => ({
      rewards: [...(c.state["rewards"] as number[]), c.reward.meanOver(c.all).value()].slice(-p.window),
    }),
  },
});
