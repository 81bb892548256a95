/** @file Sorting: digits in, the same digits in ascending order out. */

import { drawing, readParameters, rightByReward, type Task, textRewards } from "./task.ts";

/** @param given {length: digits to sort, 2–32; values: 2–10 different digits, "0" upwards} */
export function sort(given: Record<string, unknown> = {}): Task {
  const { length, values, splitSeed, shaping } = readParameters("sort", given, {
    length: { default: 5, min: 2, max: 32 },
    values: { default: 10, min: 2, max: 10 },
  });
  const digits = "0123456789".slice(0, values);
  const want = (row: Record<string, unknown>) => [...String(row.digits)].sort().join("");
  return {
    name: "sort",
    describe: `Sort ${length} digits: "${"52813907".slice(0, Math.min(length, 8))}>" wants them in ascending order.`,
    alphabet: `${digits}>\n`,
    stopCharacter: "\n",
    maxPromptTokens: length + 1,
    maxCompletionTokens: length + 1,
    rewards: textRewards(want, shaping),
    prompts: drawing("sort", splitSeed, (random) => {
      const text = Array.from({ length }, () => random.pick(digits)).join("");
      return { key: text, row: { prompt: `${text}>`, digits: text } };
    }),
    reward: (sample) => Number(sample.completion === want(sample.row)),
    supervised: want,
    isRight: rightByReward,
    answer: (completion) => completion,
  };
}
