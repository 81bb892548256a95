import { loadRecipe } from "../recipe.ts";
import { bandit, meanOf, successes, uniformly } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { gradientVariance, roughness } from "./lib/gradients.ts";
import { Learner } from "./lib/learner.ts";
import { draws } from "./lib/tabular.ts";
import { between, lower, noWorse } from "./lib/verdict.ts";

const ARMS: Record<string, { recipe: string; params?: Record<string, unknown> }> = {
  grpo: { recipe: "grpo" },
  bnpo: { recipe: "bnpo" },
  "group mean only": { recipe: "grpo-dr", params: { max_len: 1 } },
};

export default defineDemo({
  id: "bnpo",
  claim:
    "A Beta normaliser that follows the success rates has the least gradient variance, so training is smoother and no worse.",
  task: "Tabular policy, 100 prompts of 16 answers, first success 5 to 50 %; 100 steps of 32 prompts × 16 rollouts. Variance: of 100 batches at the first policy; over the squared norm of their mean it is free of the normaliser's scale.",
  baseline: "grpo",
  system: "bnpo",
  others: ["group mean only"],
  seeds: 6,
  measures: [
    { name: "gradient variance", claim: lower() },
    { name: "gradient variance", against: "group mean only", claim: lower() },
    { name: "gradient variance over its squared mean" },
    { name: "rise of the Beta's α/(α + β)", claim: between(0.01, Number.POSITIVE_INFINITY) },
    { name: "success after", claim: noWorse(0.01) },
    { name: "success after", against: "group mean only", claim: noWorse(0.01) },
    { name: "roughness of the curve", claim: lower() },
  ],
  async measure(arm, seed) {
    const task = bandit({ prompts: 100, answers: 16, seed, success: (q) => 0.05 + (0.45 * q) / 99 });
    const { recipe: id, params } = ARMS[arm];
    const recipe = await loadRecipe(id);
    const { variance, relative } = gradientVariance({ ...task, recipe, params, seed }, 100, (k) =>
      uniformly(draws(seed, k, 3), 100, 32, 16),
    );
    const learner = new Learner({ ...task, recipe, params, learningRate: 1.7, seed });
    const curve: number[] = [];
    const centres: number[] = [];
    for (let step = 0; step < 100; step++) {
      const { prepared } = learner.step(uniformly(draws(seed, step, 2), 100, 32, 16));
      const fit = prepared.outputs.beta_fit as { alpha: number; beta: number } | undefined;
      centres.push(fit ? fit.alpha / (fit.alpha + fit.beta) : Number.NaN);
      curve.push(meanOf(successes(task)));
    }
    return {
      "gradient variance": variance,
      "gradient variance over its squared mean": relative,
      "rise of the Beta's α/(α + β)": meanOf(centres.slice(-10)) - meanOf(centres.slice(0, 10)),
      "success after": curve[curve.length - 1],
      "roughness of the curve": roughness(curve),
    };
  },
});
