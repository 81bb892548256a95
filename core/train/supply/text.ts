/** @file The words of rollouts. */
import { needsDemonstrations } from "./demonstration.ts";
import { groupsOf, probes, type Supply } from "./types.ts";

export const completion: Supply = {
  is: "the text of each rollout",
  field: (step) => step.trajectories.map((t) => t.sample.completion),
  probe: () => ["a", "b", "", "a"],
};

export const solution: Supply = {
  is: "the task's right answer to each rollout's prompt",
  missing: needsDemonstrations,
  field: (step, { task }) => step.trajectories.map((t) => task.supervised!(t.sample.row)),
  probe: () => ["a", "a", "a", "a"],
};

export const right: Supply = {
  is: "1 where the rollout is right, as pass@k counts it",
  field: (step) => step.trajectories.map((t) => Number(t.right)),
  probe: probes.trajectory,
};

export const signedReward: Supply = {
  is: "1 where the rollout is right, else −1",
  field: (step) => step.trajectories.map((t) => (t.right ? 1 : -1)),
  probe: () => [1, -1, 1, -1],
};

export const lengths: Supply = {
  is: "tokens of each rollout",
  field: (step) => step.trajectories.map((t) => t.ids.length),
  probe: () => [2, 3, 2, 1],
};

/** Up to and including the marks that end a sentence; lines end one too. */
const sentencesOf = (text: string): string[] => (text.match(/[^.!?\n]+[.!?\n]*/g) ?? []).filter((s) => s.trim() !== "");

/** Words, or characters where a text has no white space. */
const wordsOf = (sentence: string): string[] =>
  sentence.match(/\s/.test(sentence.trim()) ? /[\p{L}\p{N}']+/gu : /\S/gu) ?? [];

export const sentences: Supply = {
  is: "the words of each sentence of each rollout",
  field: (step) => step.trajectories.map((t) => sentencesOf(t.sample.completion).map(wordsOf)),
  probe: () => [[["a"]], [["b", "a"]], [], [["a"]]],
};

/** 0 a statement, 1 a question, 2 an exclamation. */
export const sentenceType: Supply = {
  is: "the type of each sentence by its end mark: statement, question, exclamation",
  field: (step) =>
    step.trajectories.map((t) =>
      sentencesOf(t.sample.completion).map((s) => (s.includes("?") ? 1 : s.includes("!") ? 2 : 0)),
    ),
  probe: () => [[0], [1], [], [0]],
};

export const rewardStream: Supply = {
  is: "rewards of all rollouts of each prompt, in the order in which they were drawn",
  ask: (prompts, { drawn }) => prompts.map((_, p) => drawn.filter((t) => t.prompt === p).map((t) => t.total)),
  field: (step) => groupsOf(step).map((p) => step.drawn.filter((t) => t.prompt === p).map((t) => t.total)),
  probe: () => [
    [1, 0, 1, 0],
    [1, 0, 0, 0],
  ],
};
