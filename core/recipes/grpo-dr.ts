import { defineRecipe, number } from "../recipe.ts";
import { seqMeanTokenSumNorm } from "../rl/aggregate.ts";
import { centred } from "../rl/baseline.ts";

export default defineRecipe({
  id: "grpo-dr",
  paper: { title: "Understanding R1-Zero-Like Training: A Critical Perspective", arxiv: "2503.20783" },
  stage: ["advantage", "objective"],
  describe: `No division by the group's deviation, so that easy and hard prompts are not weighted up; no division by the
trajectory's own length, so that long wrong answers are not favoured: a constant length divides the token sum.
The constant is the generation limit of the run, never the batch's longest row.`,
  formula: "A = R − mean_g; loss = Σ_{i,t} [−min(ρA, clip(ρ)A) + beta·k3] / (N·max_len)",
  params: {
    max_len: number(512, "generation limit of the run, in tokens", { min: 1, config: "maxTokens" }),
  },
  advantage: (c) => centred(c.reward, c.group, c.optional("reward.present")),
  aggregate: (c, loss, p) => seqMeanTokenSumNorm(c, loss, p.max_len),
});
