import { defineRecipe, integer } from "../recipe.ts";
import { passAtK } from "../rl/reward.ts";

export default defineRecipe({
  id: "pass-at-k",
  paper: {
    title: "Evaluating Large Language Models Trained on Code",
    source: "verl-project/verl pull request 7240 (text); formula of arXiv 2107.03374",
  },
  stage: ["application"],
  describe: `An evaluation, no training: the chance that one of k samples is right, without bias from n ≥ k samples of
which c are right. As a product, which stays finite; n − c < k gives 1.`,
  formula: "1 − C(n−c, k)/C(n, k) = 1 − Π_{j=n−c+1..n} (1 − k/j), mean over prompts",
  params: { k: integer(8, "samples", { min: 1 }) },
  trains: { refuse: "is an evaluation", keys: ["evalPrompts", "evalSamples"] },
  outputs: (c, p) => {
    const each = c.raw<{ n: number; c: number }[]>("prompt_stats").map((s) => passAtK(s.n, s.c, p.k));
    return { pass_at_k: each, mean: each.reduce((a, b) => a + b, 0) / Math.max(1, each.length) };
  },
});
