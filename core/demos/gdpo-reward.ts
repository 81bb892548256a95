import type { Sample } from "../rewards/index.ts";
import { meanOf } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { lesson, listTask, summing, sums } from "./lib/sums.ts";
import { average, type Derivatives, trainTiny } from "./lib/transformer.ts";
import { higher, noWorse } from "./lib/verdict.ts";

const SYSTEM = "gdpo-reward";
const [G, LENGTH, DOTS] = [16, 4, 4];

/** Sums whose answers may come after dots. Both rewards are 0 or 1: the right sum, and a text of at most 4 characters. */
function task(seed: number) {
  const rows = sums(48, seed);
  const correct = ({ completion, row }: Sample) =>
    Number(completion.replace(/^\.*/, "") === String(Number(row.a) + Number(row.b)));
  const over = {
    alphabet: "0123456789+=.\n",
    rewards: [
      { name: "correct", weight: 1, fn: correct },
      { name: "short", weight: 1, fn: ({ completion }: Sample) => Number(completion.length <= LENGTH) },
    ],
    supervised: (row: Record<string, unknown>) => ".".repeat(Number(row.dots)) + (Number(row.a) + Number(row.b)),
  };
  const shown = rows.flatMap((row) => Array.from({ length: DOTS }, (_, dots) => ({ ...row, dots })));
  return { learned: listTask(rows, over), shown: listTask(shown, over) };
}

/** Different advantages in each group, on policy: the derivative is −A, over the tokens and as the losses are averaged. */
function distinct({ dlogp, lengths }: Derivatives, tokenMean: boolean): number[] {
  let at = 0;
  const advantage = lengths.map((n) => {
    at += n;
    return (dlogp[at - 1] * (tokenMean ? 1 : n)).toPrecision(9);
  });
  return Array.from({ length: lengths.length / G }, (_, g) => new Set(advantage.slice(g * G, (g + 1) * G)).size);
}

export default defineDemo({
  id: SYSTEM,
  claim:
    "Normalising each reward by itself tells combinations of one sum apart, and both rewards converge where GRPO trades one off.",
  task: "Transformer of one layer on a list of 48 sums of two digits, after supervised steps with 0 to 3 dots before each answer; rewards: the right sum (rare at first), a text of at most 4 characters; 120 steps of 16 sums × 16 rollouts.",
  baseline: "grpo",
  system: SYSTEM,
  seeds: 5,
  measures: [
    { name: "distinct advantages in a group, same rollouts", claim: higher() },
    { name: "distinct advantages in a group, whole run" },
    { name: "correct, last tenth", claim: higher() },
    { name: "short, last tenth", claim: noWorse(0.02) },
    { name: "correct, mean over the run", claim: higher() },
    { name: "short, mean over the run" },
    { name: "correct, first step" },
    { name: "short, first step" },
  ],
  async measure(arm, seed, lab) {
    const { learned, shown } = task(seed);
    const counts: number[] = [];
    const keys = { ...summing, recipe: arm, seed, rolloutsPerPrompt: G, maxTokens: 8, steps: 120 };
    const { metrics } = await trainTiny(lab, keys, {
      task: learned,
      lessons: [{ task: shown, ...lesson }],
      onDerivative: (given) => void counts.push(...distinct(given, arm === SYSTEM)),
    });
    const first = metrics.slice(0, 1);
    return {
      // The policy of the first step is the same in both arms, and so are its rollouts.
      "distinct advantages in a group, same rollouts": meanOf(counts.slice(0, summing.promptsPerStep)),
      "distinct advantages in a group, whole run": meanOf(counts),
      "correct, last tenth": average(metrics, "rewards/correct/mean", 12),
      "short, last tenth": average(metrics, "rewards/short/mean", 12),
      "correct, mean over the run": average(metrics, "rewards/correct/mean"),
      "short, mean over the run": average(metrics, "rewards/short/mean"),
      "correct, first step": average(first, "rewards/correct/mean"),
      "short, first step": average(first, "rewards/short/mean"),
    };
  },
});
