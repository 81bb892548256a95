import { defineDemo } from "./lib/demo.ts";
import { average, healthySteps, silentShare, sorting, trainTiny } from "./lib/transformer.ts";
import { between, higher, noWorse } from "./lib/verdict.ts";

export default defineDemo({
  id: "sapo",
  claim:
    "A soft gate in place of the clip leaves no trajectory without a gradient, and training off-policy at a high learning rate survives longer.",
  task: "Transformer of one layer sorting three letters, after 200 supervised steps; 80 steps of 16 prompts × 8 rollouts in 4 optimiser steps, learning rate 0.003 (three times the usual one). Healthy: until the reward falls below half of its peak.",
  baseline: "grpo",
  system: "sapo",
  others: ["gspo"],
  seeds: 5,
  measures: [
    { name: "healthy steps", claim: higher() },
    { name: "healthy steps", against: "gspo", claim: higher() },
    { name: "tokens without a gradient, share", claim: between(Number.NEGATIVE_INFINITY, 1e-3) },
    { name: "tokens without a gradient, share", against: "gspo" },
    { name: "reward, last tenth", claim: noWorse(0.02) },
  ],
  async measure(arm, seed, lab) {
    let [silent, live] = [0, 0];
    const keys = { ...sorting, recipe: arm, seed, miniBatches: 4, steps: 80, learningRate: 0.003, evalPrompts: 0 };
    const trained = await trainTiny(lab, keys, {
      onDerivative(given) {
        const share = silentShare(given, sorting.rolloutsPerPrompt);
        silent += share.silent;
        live += share.live;
      },
    });
    return {
      "healthy steps": healthySteps(trained),
      "tokens without a gradient, share": silent / live,
      "reward, last tenth": average(trained.metrics, "reward", 8),
    };
  },
});
