import { passAtK } from "../evaluate.ts";
import { meanOf } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { lesson, listTask, summing, sums } from "./lib/sums.ts";
import { type Derivatives, type Lesson, trainTiny } from "./lib/transformer.ts";
import { baselineBetween, between, higher, noWorse } from "./lib/verdict.ts";

const STEPS = 200;
const { promptsPerStep: PROMPTS, maxTokens, learningRate } = summing;

/** Share of prompts whose demonstration has a gradient; demonstrations come after the rollouts. */
function sftShare({ dlogp, lengths }: Derivatives): number {
  let at = dlogp.length;
  let shown = 0;
  for (const n of lengths.slice(-PROMPTS)) {
    at -= n;
    if (dlogp[at] !== 0) shown++;
  }
  return shown / PROMPTS;
}

export default defineDemo({
  id: "hpt",
  claim:
    "Learning failed prompts from demonstrations and the others from rollouts moves prompts that RL cannot, its SFT share falls by itself, and it ends no worse than SFT and then RL.",
  task: "Transformer of one layer on a list of 48 sums of two digits with a demonstration each, half with a carry; supervised steps on those without; then 200 steps of 16 sums × 8 rollouts, or supervised. Out of reach: never right in 16 samples before. Padded length, the divisor: 4.",
  baseline: "grpo",
  system: "hpt",
  others: ["sft", "sft then grpo"],
  seeds: 5,
  measures: [
    { name: "success after, sums out of reach", claim: [higher(), baselineBetween(Number.NEGATIVE_INFINITY, 0.05)] },
    { name: "fall of the SFT share, first to last tenth", claim: between(0.1, Number.POSITIVE_INFINITY) },
    { name: "success after", against: "sft then grpo", claim: noWorse(0.02) },
    { name: "pass@8 after", against: "sft then grpo", claim: noWorse(0.02) },
    { name: "success after", against: "sft", claim: noWorse(0.02) },
    { name: "success after" },
    { name: "sums out of reach" },
  ],
  async measure(arm, seed, lab) {
    const easy = sums(24, seed, false);
    const probe = [...easy, ...sums(24, seed, true)];
    const task = listTask(probe);
    const supervised = arm === "sft" ? STEPS : arm === "sft then grpo" ? STEPS / 2 : 0;
    const lessons: Lesson[] = [{ task: listTask(easy), ...lesson, steps: lesson.steps / 2 }];
    if (supervised > 0) lessons.push({ task, steps: supervised, batch: PROMPTS, learningRate });
    const shares: number[] = [];
    const hpt = arm === "hpt" ? { recipe: "hpt", params: { divisor: maxTokens } } : { recipe: "grpo" };
    const { chances } = await trainTiny(
      lab,
      { ...summing, ...hpt, seed, steps: STEPS - supervised },
      { task, lessons, probe, onDerivative: (given) => void (arm === "hpt" && shares.push(sftShare(given))) },
    );
    // What the first lesson alone leaves out of reach, in every arm.
    const start =
      supervised > 0
        ? await trainTiny(lab, { ...summing, seed, steps: 0 }, { task, lessons: lessons.slice(0, 1), probe })
        : { chances };
    const far = probe.flatMap((_, k) => (start.chances.before[k] === 0 ? [k] : []));
    const n = summing.evalSamples;
    return {
      "success after, sums out of reach": meanOf(far.map((k) => chances.after[k])),
      "fall of the SFT share, first to last tenth":
        meanOf(shares.slice(0, STEPS / 10)) - meanOf(shares.slice(-STEPS / 10)),
      "success after": meanOf(chances.after),
      "pass@8 after": meanOf(chances.after.map((p) => passAtK(n, Math.round(p * n), 8))),
      "sums out of reach": far.length,
    };
  },
});
