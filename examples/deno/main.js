// The run of examples/node in Deno: the same bits, with the permissions to read and write files.
import { parseConfig } from "npm:cohort";
import { createEngine } from "npm:cohort/deno";

const engine = await createEngine();
const config = parseConfig({
  // A small new model; the path of a Hugging Face directory trains that one.
  model: {
    config: { hiddenSize: 32, layers: 1, heads: 2, kvHeads: 1, intermediateSize: 64 },
    alphabet: "abcdefgh>\n",
  },
  promptsPerStep: 4,
  rolloutsPerPrompt: 8,
  maxTokens: 4,
  learningRate: 0.003,
  steps: 12,
  evalPrompts: 0,
});
const run = engine.start(config, {
  task: {
    name: "echo",
    prompts: ["a>", "b>", "c>", "d>"].map((prompt) => ({ prompt })),
    // The reward: the share of letters that repeat the prompt's.
    rewards: ({ prompt, completion }) =>
      [...completion].filter((letter) => letter === prompt[0]).length / Math.max(1, completion.length),
  },
});
for await (const { step, reward } of run) console.log(`step ${step}: reward ${reward?.toFixed(3)}`);
const { digest, run: folder } = await run.result;
console.log(`digest ${digest}, run folder ${folder}`);
await engine.close();
