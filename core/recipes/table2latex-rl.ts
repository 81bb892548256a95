import { anything, defineRecipe, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";
import { blockSimilarity, type Grey } from "../rl/image.ts";

export default defineRecipe({
  id: "table2latex-rl",
  paper: {
    title:
      "Table2LaTeX-RL: High-Fidelity LaTeX Code Generation from Table Images via Reinforced Multimodal Language Models",
    arxiv: "2509.17589",
    source: "newLLing/Table2LaTeX-RL: examples/train/grpo/plugin/plugin.py",
  },
  stage: ["reward", "application"],
  describe: `Two yes-or-no rewards for code that draws a table: whether the structure's tree edit similarity (teds) is high, and
whether the two renderings look alike. Quirk: the look is a block transform's plain similarity, not the complex wavelet
index of the evaluation. GRPO otherwise; equal weights assumed. Compiling, rendering, resizing and the tree edit distance
are the caller's; without teds the batch's reward counts.`,
  formula: "R = w·[teds > teds_pass] + w·[teds ≥ teds_min ∧ both render ∧ cw > cw_pass]; A = (R − μ)/(σ + adv_eps)",
  params: {
    teds_min: number(0.3, "structural similarity below which nothing is rendered"),
    teds_pass: number(0.9, "structural similarity above which the structure is right"),
    weights: anything<readonly number[]>([1, 1], "weights of looks and structure (equal: assumed)"),
    cw_pass: number(0.6, "similarity of pictures above which they are alike"),
    adv_eps: number(1e-4, "added to the group's standard deviation", { min: 0 }),
  },
  fields: { teds: "trajectory", rendered: "trajectory", image_pred: "raw", image_gold: "raw" },
  reward: (c, p) => {
    if (!c.has("teds")) return c.reward;
    const gold = c.raw<Grey[]>("image_gold");
    const similarity = c.lift(
      c.trajectory,
      c.raw<Grey[]>("image_pred").map((image, i) => blockSimilarity(image, gold[i])),
    );
    const teds = c.field("teds");
    const drawn = c.field("rendered").mul(teds.ge(p.teds_min));
    const visual = similarity.gt(p.cw_pass).mul(drawn);
    const structure = teds.gt(p.teds_pass);
    c.output("cw_ssim", similarity);
    c.output("reward_visual", visual);
    c.output("reward_struct", structure);
    return visual.mul(p.weights[0]).add(structure.mul(p.weights[1]));
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.adv_eps }),
  trains: { refuse: "needs renderings of the generated code: supply teds, rendered, image_pred and image_gold" },
});
