import { loadRecipe } from "../recipe.ts";
import { uniformly } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { Learner } from "./lib/learner.ts";
import { strategies } from "./lib/strategies.ts";
import { draws } from "./lib/tabular.ts";
import { alike, higher, lower, noWorse } from "./lib/verdict.ts";

const MODES: Record<string, string> = {
  "positive (PSR)": "positive",
  "negative (NSR)": "negative",
  "weighted (W)": "weighted",
};

export default defineDemo({
  id: "nsr",
  claim:
    "Learning from wrong answers alone lifts pass@1 and keeps pass@64, from right ones alone it loses pass@64; right ones weighted by 0.1 have both.",
  task: "Tabular policy, 8 classes of 12 prompts that it cannot tell apart, 24 strategies that each solve 5 to 50 % of the prompts; 60 steps of 24 prompts × 8 rollouts.",
  baseline: "first policy",
  system: "weighted (W)",
  others: ["positive (PSR)", "negative (NSR)"],
  seeds: 8,
  measures: [
    { name: "pass@1", of: "positive (PSR)", claim: higher() },
    { name: "pass@64", of: "positive (PSR)", claim: lower() },
    { name: "pass@1", of: "negative (NSR)", claim: higher() },
    { name: "pass@64", of: "negative (NSR)", claim: noWorse(0.01) },
    { name: "pass@1", against: "positive (PSR)", claim: alike(0.03) },
    { name: "pass@64", against: "negative (NSR)", claim: alike(0.03) },
    { name: "entropy, nats", of: "negative (NSR)", against: "positive (PSR)", claim: higher() },
    { name: "entropy, nats", of: "negative (NSR)", against: "weighted (W)", claim: higher() },
    { name: "pass@8" },
  ],
  async measure(arm, seed) {
    const task = strategies({
      seed,
      classes: 8,
      perClass: 12,
      answers: 24,
      spread: 1,
      solves: (v) => 0.05 + (0.45 * v) / 23,
    });
    if (arm !== "first policy") {
      const params = { mode: MODES[arm], compare: false };
      const learner = new Learner({ ...task, recipe: await loadRecipe("nsr"), params, learningRate: 0.5, seed });
      for (let step = 0; step < 60; step++) learner.step(uniformly(draws(seed, step, 2), task.prompts, 24, 8));
    }
    return {
      "pass@1": task.passAt(1),
      "pass@8": task.passAt(8),
      "pass@64": task.passAt(64),
      "entropy, nats": task.entropy(),
    };
  },
});
