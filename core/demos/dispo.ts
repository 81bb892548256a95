import { defineDemo } from "./lib/demo.ts";
import { average, sorting, trainTiny } from "./lib/transformer.ts";
import { lower, noWorse } from "./lib/verdict.ts";

const ARMS: Record<string, { recipe: string; params?: Record<string, unknown> }> = {
  cispo: { recipe: "cispo" },
  dispo: { recipe: "dispo" },
  dapo: { recipe: "dapo" },
  "right: ceiling 1.2": { recipe: "dispo", params: { eps_pos_hi: 0.2 } },
  "right: floor 1": { recipe: "dispo", params: { eps_pos_lo: 0 } },
  "wrong: ceiling 1.2": { recipe: "dispo", params: { eps_neg_hi: 0.2 } },
  "wrong: floor 0.8": { recipe: "dispo", params: { eps_neg_lo: 0.2 } },
};

export default defineDemo({
  id: "dispo",
  claim:
    "Weights above 1 on right answers explore, those below 1 distil; tight bounds on wrong answers shorten texts or repeat; with its own bounds for each it ends no worse than CISPO and DAPO.",
  task: "Transformer of one layer sorting three letters, after 200 supervised steps; 40 steps of 16 prompts × 8 rollouts in 8 optimiser steps; four ablations, a tight bound each. Texts are at most 4 tokens long.",
  baseline: "cispo",
  system: "dispo",
  others: Object.keys(ARMS).slice(2),
  seeds: 5,
  measures: [
    { name: "reward, last tenth", claim: noWorse(0.02) },
    { name: "reward, last tenth", against: "dapo", claim: noWorse(0.02) },
    { name: "entropy, last tenth", of: "right: ceiling 1.2", against: "dispo", claim: lower() },
    { name: "entropy, last tenth", of: "right: floor 1", against: "dispo", claim: lower() },
    { name: "length, last tenth", of: "wrong: ceiling 1.2", against: "dispo", claim: lower() },
    { name: "length, last tenth", of: "wrong: floor 0.8", against: "dispo", claim: lower() },
    { name: "reward, last tenth", of: "wrong: ceiling 1.2", against: "dispo" },
    { name: "reward, last tenth", of: "wrong: floor 0.8", against: "dispo" },
  ],
  async measure(arm, seed, lab) {
    const keys = { ...sorting, ...ARMS[arm], seed, miniBatches: 8, steps: 40, evalPrompts: 0 };
    const { metrics } = await trainTiny(lab, keys);
    return {
      "reward, last tenth": average(metrics, "reward", 4),
      "entropy, last tenth": average(metrics, "entropy", 4),
      "length, last tenth": average(metrics, "completions/mean_length", 4),
    };
  },
});
