import { loadRecipe } from "../recipe.ts";
import { bandit, flatGroups, meanOf, successes, uniformly } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { Learner } from "./lib/learner.ts";
import { draws, entropyOf } from "./lib/tabular.ts";
import { baselineBetween, between, higher } from "./lib/verdict.ts";

const ARMS: Record<string, { recipe: string; params?: Record<string, unknown> }> = {
  grpo: { recipe: "grpo" },
  ngrpo: { recipe: "ngrpo" },
  "positive only": { recipe: "nsr", params: { mode: "positive", compare: false } },
};

export default defineDemo({
  id: "ngrpo",
  claim:
    "An imaginary right answer in every group gives all-wrong groups a gradient that keeps entropy up and finds more answers.",
  task: "Tabular policy, 50 prompts of 16 answers, first success 2 to 5 %; 60 steps of 25 prompts × 8 rollouts.",
  baseline: "grpo",
  system: "ngrpo",
  others: ["positive only"],
  seeds: 8,
  measures: [
    { name: "share of all-wrong groups with a gradient", claim: [between(1, 1), baselineBetween(0, 0)] },
    { name: "entropy after, nats", claim: higher() },
    { name: "prompts solved (success > ½)", claim: higher() },
    { name: "prompts solved (success > ½)", against: "positive only", claim: higher() },
    { name: "mean success" },
  ],
  async measure(arm, seed) {
    const task = bandit({ prompts: 50, answers: 16, seed, success: (q) => 0.02 + (0.03 * q) / 49 });
    const { recipe, params } = ARMS[arm];
    const learner = new Learner({ ...task, recipe: await loadRecipe(recipe), params, learningRate: 1.5, seed });
    let [dead, moved] = [0, 0];
    for (let step = 0; step < 60; step++) {
      const { group, reward, steps } = learner.step(uniformly(draws(seed, step, 2), 50, 25, 8));
      flatGroups(group, reward).forEach((flat, g) => {
        const rows = group.flatMap((h, i) => (h === g ? [i] : []));
        if (!flat || reward[rows[0]] === 1) return;
        dead++;
        if (rows.some((i) => steps[0].dlogp[i] !== 0)) moved++;
      });
    }
    const success = successes(task);
    return {
      "share of all-wrong groups with a gradient": moved / dead,
      "entropy after, nats": meanOf(success.map((_, q) => entropyOf(task.policy.next(q, [])))),
      "prompts solved (success > ½)": success.filter((p) => p > 0.5).length,
      "mean success": meanOf(success),
    };
  },
});
