import { loadRecipe } from "../recipe.ts";
import { bandit, flatGroups, meanOf, successes, uniformly } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { variation } from "./lib/gradients.ts";
import { Learner } from "./lib/learner.ts";
import { draws } from "./lib/tabular.ts";
import { between, higher, lower, noWorse } from "./lib/verdict.ts";

const CLASSES = [0.05, 0.3, 0.75];

export default defineDemo({
  id: "dgpo-mathforge",
  claim:
    "Questions whose advantages all sum to the same, weighted towards the hard ones, are learned faster where they are hard and no worse where easy.",
  task: "Tabular policy, 60 prompts of 16 answers in three classes (first success 5, 30, 75 %); 50 steps of 30 prompts × 8 rollouts. The rewriting of questions is data and left out.",
  baseline: "grpo",
  system: "dgpo-mathforge",
  seeds: 8,
  measures: [
    { name: "spread of Σ|A| over live questions (std/mean)", claim: [between(0, 0.01), lower()] },
    { name: "hard success, mean over the run", claim: higher() },
    { name: "hard success after", claim: higher() },
    { name: "easy success after", claim: noWorse(0.02) },
    { name: "mean success after" },
  ],
  async measure(arm, seed) {
    const task = bandit({ prompts: 60, answers: 16, seed, success: (q) => CLASSES[Math.floor(q / 20)] });
    const reward: typeof task.reward = (r) => task.reward(r);
    const learner = new Learner({
      policy: task.policy,
      reward: (r) => ({ accuracy: reward(r) }),
      recipe: await loadRecipe(arm),
      learningRate: 1.6,
      seed,
    });
    const spreads: number[] = [];
    const hard: number[] = [];
    for (let step = 0; step < 50; step++) {
      hard.push(meanOf(successes(task).slice(0, 20)));
      const taught = learner.step(uniformly(draws(seed, step, 2), 60, 30, 8));
      const { group, prepared } = taught;
      const weights = prepared.outputs.question_weight as number[] | undefined;
      const flat = flatGroups(group, taught.reward);
      const sums = flat.map((_, g) =>
        group.reduce((sum, h, i) => sum + (h === g ? Math.abs(prepared.advantage![i]) : 0), 0),
      );
      // Before the question's weight, which is meant to differ.
      if (!flat.includes(false)) continue;
      spreads.push(variation(sums.map((sum, g) => sum / (weights?.[g] ?? 1)).filter((_, g) => !flat[g])));
    }
    const success = successes(task);
    return {
      "spread of Σ|A| over live questions (std/mean)": meanOf(spreads),
      "hard success, mean over the run": meanOf(hard),
      "hard success after": meanOf(success.slice(0, 20)),
      "easy success after": meanOf(success.slice(40)),
      "mean success after": meanOf(success),
    };
  },
});
