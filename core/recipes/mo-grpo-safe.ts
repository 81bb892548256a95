import { anything, defineRecipe, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";
import { weightedSum } from "../rl/reward.ts";

export default defineRecipe({
  id: "mo-grpo-safe",
  paper: {
    title: "Optimizing Safe and Aligned Language Generation: A Multi-Objective GRPO Approach",
    arxiv: "2503.21819",
  },
  stage: ["reward", "application"],
  describe: `Plain GRPO on the weighted sum of several scores (politeness, meaningfulness, actionability, safety in the paper, from
one regression reward model). Where the batch has labels, output reward_model_loss is that model's squared error.
Reconstruction: weights (equal unless given) and the standard deviation's form are not stated in what was read.`,
  formula: "R = Σ_k w_k s_k; A = (R − mean_g)/(std_g + adv_eps); reward_model_loss = mean_{i,k} (s_k − label_k)²",
  params: {
    weights: anything<Record<string, number> | null>(null, "weight by score (null: equal, summing to 1)"),
    std_ddof: number(1, "divisor n − ddof of the variance", { min: 0, max: 1 }),
    adv_eps: number(1e-4, "added to the group's standard deviation", { min: 0 }),
  },
  fields: { labels: "raw" },
  reward: (c, p) => {
    const scores = c.rewards;
    if (c.hasRaw("labels")) {
      const labels = c.raw<Record<string, number[]>>("labels");
      const terms = scores.filter((s) => labels[s.name]);
      const square = terms.map((s) => s.value.sub(c.lift(c.trajectory, labels[s.name])).square().meanOver(c.all));
      const sum = square.reduce((a, b) => a.add(b), c.number(0));
      c.output("reward_model_loss", sum.div(Math.max(1, terms.length)));
    }
    const weights = scores.map(({ name }) => (p.weights ? (p.weights[name] ?? 0) : 1 / scores.length));
    const { sum, present } = weightedSum(c, weights);
    return { reward: sum, present };
  },
  advantage: (c, p) =>
    zScore(c.reward, c.group, { eps: p.adv_eps, ddof: p.std_ddof, weight: c.optional("reward.present") }),
});
