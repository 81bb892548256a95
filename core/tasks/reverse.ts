/** @file Text reversal: a word in, the word read backwards out. */

import { drawing, readParameters, rightByReward, type Task, textRewards } from "./task.ts";

/** @param given {length: letters in a word, 2–32; letters: 2–26 different letters, "a" upwards} */
export function reverse(given: Record<string, unknown> = {}): Task {
  const { length, letters, splitSeed, shaping } = readParameters("reverse", given, {
    length: { default: 5, min: 2, max: 32 },
    letters: { default: 10, min: 2, max: 26 },
  });
  const alphabet = "abcdefghijklmnopqrstuvwxyz".slice(0, letters);
  const want = (row: Record<string, unknown>) => [...String(row.word)].reverse().join("");
  return {
    name: "reverse",
    describe: `Write a word of ${length} letters backwards: "abcd>" wants "dcba".`,
    alphabet: `${alphabet}>\n`,
    stopCharacter: "\n",
    maxPromptTokens: length + 1,
    maxCompletionTokens: length + 1,
    rewards: textRewards(want, shaping),
    prompts: drawing("reverse", splitSeed, (random) => {
      const word = Array.from({ length }, () => random.pick(alphabet)).join("");
      return { key: word, row: { prompt: `${word}>`, word } };
    }),
    reward: (sample) => Number(sample.completion === want(sample.row)),
    supervised: want,
    isRight: rightByReward,
    answer: (completion) => completion,
  };
}
