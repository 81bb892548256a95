import { defineRecipe, integer, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";
import { bagCosine, counts } from "../rl/text.ts";

export default defineRecipe({
  id: "qwen-vl-dp",
  paper: { title: "Multimodal Mathematical Reasoning with Diverse Solving Perspective", arxiv: "2507.02804" },
  stage: ["reward", "pipeline", "application"],
  describe: `GRPO whose right answers earn more the less they resemble the group's other right ones, by the cosine of their bags
of tokens; wrong ones earn nothing for being different. Reconstruction from the abstract: all constants and the similarity
are ours. Without the field format (template kept, 1 or 0) that reward is 0. The supervised stage is left out.`,
  formula: "div_i = 1 − mean_{j right, j≠i} cos(bag_i, bag_j), 1 if alone; R = c + w_div·c·div + w_fmt·format",
  params: {
    w_div: number(0.5, "weight of the diversity of right answers", { min: 0 }),
    w_fmt: number(0.1, "weight of the form", { min: 0 }),
    adv_eps: number(1e-4, "added to the group's standard deviation", { min: 0 }),
    vocab: integer(9, "size of the vocabulary (the cosine does not depend on it)", { min: 1 }),
    beta: number(0.04, "coefficient of the k3 penalty to the reference", { min: 0 }),
  },
  fields: { format: "trajectory" },
  reward: (c, p) => {
    const correct = c.field("correct");
    const right = correct.values();
    const [tokens, mask, { offsets }] = [c.field("tokens").values(), c.mask.values(), c.batch];
    const bags = Array.from(right, (_, i) => {
      const own = [...tokens.subarray(offsets[i], offsets[i + 1])];
      return counts(own.filter((_, t) => mask[offsets[i] + t] !== 0));
    });
    const group = c.trajectory.edge(c.group).index;
    const diversity = Array.from(right, (is, i) => {
      if (is === 0) return 0;
      const others = bags.filter((_, j) => j !== i && group[j] === group[i] && right[j] !== 0);
      if (others.length === 0) return 1;
      return 1 - others.reduce((sum, bag) => sum + bagCosine(bags[i], bag), 0) / others.length;
    });
    c.output("diversity", diversity);
    const form = c.optional("format") ?? c.number(0, c.trajectory);
    return correct.mul(c.lift(c.trajectory, diversity).mul(p.w_div).add(1)).add(form.mul(p.w_fmt));
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.adv_eps }),
});
