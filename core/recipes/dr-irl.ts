import { defineRecipe, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";

export default defineRecipe({
  id: "dr-irl",
  paper: {
    title: "Inverse Reinforcement Learning with Dynamic Reward Scaling for LLM Alignment",
    arxiv: "2503.18991",
  },
  stage: ["reward", "advantage", "pipeline", "application"],
  describe: `GRPO whose advantage is scaled by two coefficients of difficulty: how far an answer is from the demonstration
(best cosine of each clause, averaged), and how the gap of its reward to the demonstration's lies in its group, far-off
gaps left out. The reward models, one a category of harm, come from inverse RL on demonstrations, and are left out here.
The value of tau was not read. A flat group has advantage 0.`,
  formula:
    "A = αD·αM·(R − mean_g)/(std_g + adv_eps); αD = σ(δ_i)/σ(mean_g δ), δ = 1 − mean_k max_l s_kl; αM = σ(mean of kept gaps)/σ(mean_g gap)",
  params: {
    tau: number(1, "a gap is kept while its squared distance to the group's mean is at most this (ours)", { min: 0 }),
    adv_eps: number(1e-8, "added to the group's standard deviation", { min: 0 }),
    std_ddof: number(0, "divisor n − ddof of the variance", { min: 0, max: 1 }),
  },
  fields: { reward_demo: "trajectory", clause_similarity: "raw" },
  trains: { supply: { reward_demo: "demonstration-reward", clause_similarity: "clause-similarity" } },
  advantage: (c, p) => {
    const rows = c.raw<number[][][]>("clause_similarity").map((answer) => {
      const best = answer.map((clause) => (clause.length > 0 ? Math.max(...clause) : 0));
      return best.length > 0 ? best.reduce((a, b) => a + b, 0) / best.length : 0;
    });
    const similarity = c.lift(c.trajectory, rows);
    const delta = similarity.not();
    const data = delta.sigmoid().div(delta.meanOver(c.group).sigmoid());
    const gap = c.reward.sub(c.field("reward_demo"));
    const kept = gap.centreOver(c.group).square().le(p.tau);
    const ratio = gap.meanOver(c.group, kept).sigmoid().div(gap.meanOver(c.group).sigmoid());
    const model = kept.maxOver(c.group).where(ratio, 1);
    c.output("similarity", similarity);
    c.output("alpha_data", data);
    c.output("alpha_model", model);
    c.outputFlags("gap_kept", kept);
    return zScore(c.reward, c.group, { eps: p.adv_eps, ddof: p.std_ddof }).mul(data).mul(model);
  },
});
