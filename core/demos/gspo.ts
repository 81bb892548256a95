import { defineDemo } from "./lib/demo.ts";
import { average, sorting, trainTiny } from "./lib/transformer.ts";
import { between, higherByShare } from "./lib/verdict.ts";

export default defineDemo({
  id: "gspo",
  claim:
    "On stale rollouts a clip on one ratio a trajectory cuts far more than GRPO's clip on tokens, and the reward still rises.",
  task: "Transformer of one layer sorting three letters, after 200 supervised steps; 60 steps of 20 prompts × 8 rollouts in 5 optimiser steps, the last on rollouts four updates old. Far more: ten times.",
  baseline: "grpo",
  system: "gspo",
  seeds: 5,
  measures: [
    { name: "share of trained tokens under the clip", claim: higherByShare(9) },
    { name: "reward, last tenth minus first", claim: between(0, Number.POSITIVE_INFINITY) },
    { name: "reward, last tenth" },
    { name: "pass@1 after" },
  ],
  async measure(arm, seed, lab) {
    const keys = { ...sorting, recipe: arm, seed, promptsPerStep: 20, miniBatches: 5, steps: 60 };
    const { metrics, after } = await trainTiny(lab, keys);
    const last = average(metrics, "reward", 6);
    return {
      "share of trained tokens under the clip": average(metrics, "clip_ratio/region_mean"),
      "reward, last tenth minus first": last - average(metrics.slice(0, 6), "reward"),
      "reward, last tenth": last,
      "pass@1 after": after?.["pass@1"] ?? Number.NaN,
    };
  },
});
