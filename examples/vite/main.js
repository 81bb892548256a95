import { createEngine, parseConfig } from "cohort/browser";

const log = document.querySelector("#log");
const say = (line) => log.append(`${line}\n`);

const engine = await createEngine({ storage: "memory" });
const config = parseConfig({
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
    rewards: ({ prompt, completion }) =>
      [...completion].filter((letter) => letter === prompt[0]).length / Math.max(1, completion.length),
  },
});
document.querySelector("#pause").onclick = ({ target }) => {
  if (run.paused) run.resume();
  else run.pause();
  target.textContent = run.paused ? "Resume" : "Pause";
};
document.querySelector("#stop").onclick = () => run.stop();
for await (const { step, reward } of run) say(`step ${step}: reward ${reward?.toFixed(3)}`);
say(`digest ${(await run.result).digest}`);
await engine.close();
