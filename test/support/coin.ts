/** @file A task that a new model gets right about half the time, with two rewards of 0 or 1, and the model that fits it. */
import type { TaskSource } from "../../core/tasks/index.ts";

/** What recipes read of a prompt file beside its prompts. */
const columns = { think: true, relevant: ["a", "be"], author: "abcabdabe", variant: "a>" };

export const coin: TaskSource = {
  name: "coin",
  rewards: [
    { name: "correct", weight: 1, fn: ({ completion }) => (/^[a-d]/.test(completion) ? 1 : 0) },
    { name: "short", weight: 0.5, fn: ({ completion }) => (completion.length < 4 ? 1 : 0) },
  ],
  // Sixteen prompts: a pool that a sampler has a choice in.
  prompts: (_split, n, _seed, start = 0) =>
    Array.from({ length: n }, (_, i) => ({
      prompt: `${"abcd"[(start + i) % 4]}${"efgh"[((start + i) >> 2) % 4]}>`,
      ...columns,
    })),
  isRight: (scores) => scores.correct === 1,
  trainSize: 16,
  supervised: ({ prompt }) => String(prompt).slice(0, 1),
};

/** A configuration of three steps on a tiny model. */
export const tiny = {
  task: "sort",
  model: {
    alphabet: "abcdefgh>",
    config: { hiddenSize: 8, layers: 1, heads: 2, kvHeads: 1, headDim: 4, intermediateSize: 12, initializerRange: 0.4 },
  },
  promptsPerStep: 4,
  rolloutsPerPrompt: 4,
  maxTokens: 4,
  steps: 3,
  epochsPerBatch: 2,
  learningRate: 0.01,
  evalPrompts: 0,
  checkpointEvery: 0,
  seed: 1,
};
