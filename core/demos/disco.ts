import { meanOf } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { lesson, listTask, summing, sums } from "./lib/sums.ts";
import { average, silentShare, trainTiny } from "./lib/transformer.ts";
import { between, higher, noWorse } from "./lib/verdict.ts";

const DELTA = 1e-4;
const MINI_BATCHES = 4;

export default defineDemo({
  id: "disco",
  claim:
    "Without clip and difficulty weight hard questions gain more than under GRPO, entropy does not collapse, and the KL stays at its bound.",
  task: "Transformer of one layer on a list of 48 sums of two digits, each quarter of them shown one, two, three or four times as often in supervised steps; 300 steps of 16 sums × 8 rollouts in 4 optimiser steps. Hard: right in under 20 % of 16 samples before. KL: at the optimiser steps after the first, last tenth.",
  baseline: "grpo",
  system: "disco",
  seeds: 5,
  measures: [
    { name: "gain of hard sums", claim: higher() },
    { name: "success after", claim: noWorse(0.02) },
    { name: "entropy, last tenth, nats", claim: higher() },
    { name: "KL to the rollout policy", claim: between(-10 * DELTA, 10 * DELTA) },
    { name: "trained tokens without a gradient", claim: between(0, 0) },
    { name: "hard sums" },
    { name: "success before" },
  ],
  async measure(arm, seed, lab) {
    const probe = sums(48, seed);
    const shown = probe.flatMap((row, k) => new Array(1 + (k % 4)).fill(row));
    const keys = { ...summing, recipe: arm, seed, steps: 300, miniBatches: MINI_BATCHES };
    let [silent, live] = [0, 0];
    const { metrics, chances } = await trainTiny(lab, keys, {
      task: listTask(probe),
      lessons: [{ task: listTask(shown), ...lesson }],
      probe,
      onDerivative(given) {
        const share = silentShare(given, summing.rolloutsPerPrompt);
        silent += share.silent;
        live += share.live;
      },
    });
    const hard = probe.flatMap((_, k) => (chances.before[k] < 0.2 ? [k] : []));
    // The first optimiser step of a batch has no distance yet, and counts in the mean.
    const drift = (average(metrics, "ppo_kl", 30) * MINI_BATCHES) / (MINI_BATCHES - 1);
    return {
      "gain of hard sums": meanOf(hard.map((k) => chances.after[k] - chances.before[k])),
      "success after": meanOf(chances.after),
      "entropy, last tenth, nats": average(metrics, "entropy", 30),
      "KL to the rollout policy": drift,
      "trained tokens without a gradient": silent / live,
      "hard sums": hard.length,
      "success before": meanOf(chances.before),
    };
  },
});
