import type { Row, Sample } from "../rewards/index.ts";
import { placesRight } from "../tasks/task.ts";
import { promptIds, type Trainer } from "../train.ts";
import { meanOf } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { cosine, variation } from "./lib/gradients.ts";
import { lesson, listTask, summing, sums } from "./lib/sums.ts";
import { type Derivatives, trainTiny } from "./lib/transformer.ts";
import { baselineBetween, higher, lower } from "./lib/verdict.ts";

const [G, STEPS, WITHOUT] = [8, 80, "dagrpo without anchor"];

/** Sums written with three digits; the judge's score is the share of right places, the end among them. */
const want = (row: Record<string, unknown>) => String(Number(row.a) + Number(row.b)).padStart(3, "0");
const answers = {
  rewards: [
    { name: "correct", weight: 1, fn: ({ completion, row }: Sample) => Number(completion === want(row)) },
    { name: "judge", weight: 0, fn: (s: Sample) => placesRight(`${s.completion}\n`, `${want(s.row)}\n`) },
  ],
  supervised: want,
};

/** |cos| of the gradients of a group's right and wrong rollouts, of every group that has both. */
async function conflicts({ texts, dlogp, lengths, gradient }: Derivatives): Promise<number[]> {
  const starts = lengths.map((_, i) => lengths.slice(0, i).reduce((a, b) => a + b, 0));
  const found: number[] = [];
  for (let g = 0; g < lengths.length / G; g++) {
    const side = (sign: number) =>
      texts.flatMap((_, i) => (Math.floor(i / G) === g && sign * dlogp[starts[i]] < 0 ? [i] : []));
    const [right, wrong] = [side(1), side(-1)];
    if (right.length > 0 && wrong.length > 0)
      found.push(Math.abs(cosine(await gradient(right), await gradient(wrong))));
  }
  return found;
}

/** Log-probability of each row's right answer, nats a token, the end among them. */
async function rightLogp({ session }: Trainer, rows: readonly Row[]): Promise<number[]> {
  const { tokenizer, stopIds } = session.loaded;
  const sequences = rows.map((row) => {
    const prompt = promptIds(tokenizer, row);
    return { ids: [...prompt, ...tokenizer.encode(want(row), { addSpecial: false }), stopIds[0]], from: prompt.length };
  });
  const { logp, offsets } = await session.score(sequences);
  return rows.map((_, k) => meanOf([...logp.subarray(offsets[k], offsets[k + 1])]));
}

export default defineDemo({
  id: "dagrpo",
  claim:
    "Leaving out pairs of right and wrong rollouts that are nearly alike reduces gradient conflict; one expert answer moves groups that failed.",
  task: "Transformer of one layer on a list of 48 sums of two digits, half with a carry, with the share of right places as score; supervised steps on those without; 80 steps of 16 sums × 8 rollouts. Conflict, at every fourth step, and norms: masking alone against GRPO. Out of reach: never right in 16 samples before. tau 0.3.",
  baseline: "grpo",
  system: "dagrpo",
  others: [WITHOUT],
  seeds: 5,
  measures: [
    { name: "|cos| of right and wrong gradients in a group", of: WITHOUT, claim: lower() },
    { name: "variation of the gradient norm (std/mean)", of: WITHOUT, claim: lower() },
    { name: "success after, sums in reach" },
    { name: "success after, sums out of reach", claim: [higher(), baselineBetween(Number.NEGATIVE_INFINITY, 0.05)] },
    { name: "success after, sums out of reach", against: WITHOUT, claim: higher() },
    { name: "rise of right answers out of reach, nats a token", claim: higher() },
    { name: "rise of right answers out of reach, nats a token", against: WITHOUT, claim: higher() },
    { name: "sums out of reach" },
  ],
  async measure(arm, seed, lab) {
    const easy = sums(24, seed, false);
    const probe = [...easy, ...sums(24, seed, true)];
    // Where every rollout counts as right no group has failed, and none gets an anchor.
    const task = listTask(probe, arm === WITHOUT ? { ...answers, isRight: () => true } : answers);
    const recipe = arm === "grpo" ? "grpo" : "dagrpo";
    const angles: number[] = [];
    const logp: number[][] = [];
    const { metrics, chances } = await trainTiny(
      lab,
      { ...summing, recipe, seed, steps: STEPS },
      {
        task,
        lessons: [{ task: listTask(easy, answers), ...lesson, steps: lesson.steps / 2 }],
        probe,
        async onDerivative(given) {
          if (arm !== "dagrpo" && given.step % 4 === 0) angles.push(...(await conflicts(given)));
        },
        onStart: async (trainer) => void logp.push(await rightLogp(trainer, probe)),
        async onStep(trainer) {
          if (trainer.step === STEPS) logp.push(await rightLogp(trainer, probe));
        },
      },
    );
    const rise = logp[0].flatMap((start, k) => (chances.before[k] === 0 ? [logp[1][k] - start] : []));
    const success = (reach: boolean) => meanOf(chances.after.filter((_, k) => chances.before[k] > 0 === reach));
    return {
      "|cos| of right and wrong gradients in a group": meanOf(angles),
      "variation of the gradient norm (std/mean)": variation(metrics.map((m) => m.grad_norm ?? Number.NaN)),
      "success after, sums in reach": success(true),
      "success after, sums out of reach": success(false),
      "rise of right answers out of reach, nats a token": meanOf(rise),
      "sums out of reach": chances.before.filter((p) => p === 0).length,
    };
  },
});
