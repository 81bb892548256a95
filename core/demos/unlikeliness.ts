import { loadRecipe } from "../recipe.ts";
import { uniformly } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { Learner } from "./lib/learner.ts";
import { strategies } from "./lib/strategies.ts";
import { draws } from "./lib/tabular.ts";
import { higher, lower, noWorse } from "./lib/verdict.ts";

const ARMS: Record<string, { recipe: string; epochs: number; params: Record<string, unknown> }> = {
  grpo: { recipe: "grpo", epochs: 2, params: { beta: 0.1 } },
  "grpo, 1 epoch": { recipe: "grpo", epochs: 1, params: { beta: 0.1 } },
  unlikeliness: { recipe: "unlikeliness", epochs: 2, params: {} },
};

export default defineDemo({
  id: "unlikeliness",
  claim:
    "GRPO sharpens: pass@1 rises and pass@64 falls below the first policy's. Paying rare right answers more, with 2 epochs a batch, holds pass@64 while pass@1 still rises.",
  task: "Tabular policy, 6 classes of 16 prompts that it cannot tell apart, 32 strategies of very unequal first probability that each solve 5 to 40 % of the prompts; 60 steps of 16 prompts × 32 rollouts, KL 0.1.",
  baseline: "grpo",
  system: "unlikeliness",
  others: ["first policy", "grpo, 1 epoch"],
  seeds: 6,
  measures: [
    { name: "pass@1", of: "grpo", against: "first policy", claim: higher() },
    { name: "pass@64", of: "grpo", against: "first policy", claim: lower() },
    { name: "pass@1", against: "first policy", claim: higher() },
    { name: "pass@64", against: "first policy", claim: noWorse(0) },
    { name: "pass@64", claim: higher() },
    { name: "pass@64", of: "grpo", against: "grpo, 1 epoch", claim: higher() },
    { name: "pass@1" },
    { name: "entropy, nats" },
  ],
  async measure(arm, seed) {
    const task = strategies({
      seed,
      classes: 6,
      perClass: 16,
      answers: 32,
      spread: 1.5,
      solves: (v) => 0.05 + (0.35 * v) / 31,
    });
    if (arm in ARMS) {
      const { recipe, epochs, params } = ARMS[arm];
      const reference = task.policy.copy();
      const options = { ...task, reference, recipe: await loadRecipe(recipe), params, epochs };
      const learner = new Learner({ ...options, learningRate: 0.25, seed });
      for (let step = 0; step < 60; step++) learner.step(uniformly(draws(seed, step, 2), task.prompts, 16, 32));
    }
    return { "pass@1": task.passAt(1), "pass@64": task.passAt(64), "entropy, nats": task.entropy() };
  },
});
