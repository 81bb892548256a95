/** @file Addition of two whole numbers with a given number of digits. */

import { drawing, readParameters, rightByReward, type Task, textRewards } from "./task.ts";

/** @param given {digits: of each summand, 1–7; reversed: 1 writes the sum's last digit first, so that carries run forwards} */
export function addition(given: Record<string, unknown> = {}): Task {
  const { digits, reversed, splitSeed, shaping } = readParameters("addition", given, {
    digits: { default: 2, min: 1, max: 7 },
    reversed: { default: 0, min: 0, max: 1 },
  });
  const least = digits === 1 ? 0 : Number(`1e${digits - 1}`);
  const want = (row: Record<string, unknown>) => {
    const sum = String(Number(row.a) + Number(row.b));
    return reversed ? [...sum].reverse().join("") : sum;
  };
  return {
    name: "addition",
    describe: `Add two numbers of ${digits} digits: "27+58=" wants "${reversed ? "58" : "85"}".`,
    alphabet: "0123456789+=\n",
    stopCharacter: "\n",
    maxPromptTokens: 2 * digits + 2,
    maxCompletionTokens: digits + 2,
    rewards: textRewards(want, shaping),
    prompts: drawing("addition", splitSeed, (random) => {
      const a = least + random.below(Number(`1e${digits}`) - least);
      const b = least + random.below(Number(`1e${digits}`) - least);
      // 27+58 and 58+27 are one problem: both are in the same split.
      return { key: `${Math.min(a, b)}+${Math.max(a, b)}`, row: { prompt: `${a}+${b}=`, a, b } };
    }),
    reward: (sample) => Number(sample.completion === want(sample.row)),
    supervised: want,
    isRight: rightByReward,
    answer: (completion) => completion,
  };
}
