/** @file The run of `cohort train` without arguments: a model from a seed, a warm start, then GRPO on a built-in task. */

export const demoConfig = {
  task: { name: "sort", length: 5 },
  model: { config: { hiddenSize: 64, layers: 2, heads: 4, kvHeads: 2, intermediateSize: 128, maxPositions: 32 } },
  recipe: "grpo",
  warmStart: { steps: 60, batch: 64, learningRate: 0.003 },
  promptsPerStep: 32,
  rolloutsPerPrompt: 16,
  maxTokens: 6,
  steps: 300,
  learningRate: 0.001,
  optimizer: { schedule: "linear" },
  evalPrompts: 128,
  evalSamples: 8,
  checkpointEvery: 100,
} as const;
