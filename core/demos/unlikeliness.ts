import { weighted } from "../draws.ts";
import type { Row } from "../rewards/index.ts";
import { exp } from "../rl/scalar.ts";
import { hashText } from "../rng.ts";
import type { TaskSource } from "../tasks/index.ts";
import { drawing } from "../tasks/task.ts";
import { defineDemo } from "./lib/demo.ts";
import { draws, normal } from "./lib/tabular.ts";
import { average, sorting, trainTiny } from "./lib/transformer.ts";
import { higher, lower, noWorse } from "./lib/verdict.ts";

const ARMS: Record<string, Record<string, unknown>> = {
  grpo: { recipe: "grpo", epochsPerBatch: 2, params: { beta: 0.1 } },
  unlikeliness: { recipe: "unlikeliness", epochsPerBatch: 2 },
  "first policy": { recipe: "grpo", steps: 0 },
  "grpo, 1 epoch": { recipe: "grpo", epochsPerBatch: 1, params: { beta: 0.1 } },
  "unlikeliness, 1 epoch": { recipe: "unlikeliness", epochsPerBatch: 1 },
};

const PLANS = 32;
const plan = (v: number) => "abcdefgh"[Math.floor(v / 4)] + "wxyz"[v % 4];

/**
 * Problems "274:" that each of 32 plans, two letters, solves or does not: plan v solves 5 to 40 % of them, and how often the
 * supervised examples show it, e^(1.5·normal), has nothing to do with that. What solves a new problem cannot be told from
 * its text, so that coverage is worth something.
 */
function task(seed: number): TaskSource & { alphabet: string } {
  const random = draws(seed, 0, 1);
  const shown = Array.from({ length: PLANS }, () => exp(1.5 * normal(random)));
  const solves = (row: Row, v: number) =>
    hashText(`${row.prompt}${v}`, seed) / 2 ** 32 < 0.05 + (0.35 * v) / (PLANS - 1);
  const right = (row: Row, completion: string) => {
    const v = Array.from({ length: PLANS }, (_, k) => plan(k)).indexOf(completion);
    return v >= 0 && solves(row, v);
  };
  return {
    name: "plans",
    alphabet: "0123456789:abcdefghwxyz\n",
    stopCharacter: "\n",
    rewards: [{ name: "correct", weight: 1, fn: (s) => Number(right(s.row, s.completion)) }],
    isRight: (scores) => scores.correct === 1,
    prompts: drawing("plans", 0, (from) => {
      const problem = `${from.below(10)}${from.below(10)}${from.below(10)}`;
      return { key: problem, row: { prompt: `${problem}:`, example: plan(weighted(from, shown, 1)[0]) } };
    }),
    supervised: (row) => String(row.example),
  };
}

export default defineDemo({
  id: "unlikeliness",
  claim:
    "GRPO sharpens: pass@1 rises and pass@64 falls below the first policy's. Paying rare right answers more, with 2 epochs a batch, holds pass@64 while pass@1 still rises.",
  task: "Transformer of one layer; problems that each of 32 texts of very unequal first probability solves or not, from 5 to 40 % of the problems; 200 supervised steps, then 60 steps of 8 problems × 32 rollouts, KL 0.1. Measured on 120 held-out problems, 64 samples each.",
  baseline: "grpo",
  system: "unlikeliness",
  others: Object.keys(ARMS).slice(2),
  seeds: 5,
  measures: [
    { name: "pass@1", of: "grpo", against: "first policy", claim: higher() },
    { name: "pass@64", of: "grpo", against: "first policy", claim: lower() },
    { name: "pass@1", against: "first policy", claim: higher() },
    { name: "pass@64", against: "first policy", claim: noWorse(0) },
    { name: "pass@64", claim: higher() },
    { name: "pass@64", of: "grpo", against: "grpo, 1 epoch", claim: higher() },
    { name: "pass@64", against: "unlikeliness, 1 epoch" },
    { name: "pass@1" },
    { name: "entropy, last tenth" },
  ],
  async measure(arm, seed, lab) {
    const size = {
      promptsPerStep: 8,
      rolloutsPerPrompt: 32,
      maxTokens: 3,
      steps: 60,
      evalPrompts: 120,
      evalSamples: 64,
    };
    const { metrics, before, after } = await trainTiny(
      lab,
      { ...sorting, ...size, ...ARMS[arm], seed },
      { task: task(seed) },
    );
    const result = after ?? before;
    return {
      "pass@1": result?.["pass@1"] ?? Number.NaN,
      "pass@64": result?.["pass@64"] ?? Number.NaN,
      "entropy, last tenth": average(metrics, "entropy", 6),
    };
  },
});
