/** @file `cohort sample`. */

import { CohortError } from "../../core/errors.ts";
import { jsonLine } from "../../core/log.ts";
import {
  type Arguments,
  type Command,
  deviceHelp,
  deviceOptions,
  type Io,
  numberOption,
  readDeviceOptions,
  textOption,
} from "./command.ts";

export const sample: Command = {
  summary: "completions of a prompt",
  help: `usage: cohort sample --model DIR --prompt TEXT [options]

  --model DIR          Hugging Face model directory, or a checkpoint of a run
  --prompt TEXT        the prompt
  --n N                completions (default: 1)
  --max-tokens N       longest completion, in tokens (default: 128)
  --temperature T      0 is greedy (default: 1)
  --top-k K, --top-p P, --min-p P
  --seed S             (default: 0)
  --json               one line of JSON each: text, ids (the prompt's among them), logprob (nats), finish
${deviceHelp}
`,
  options: {
    model: { type: "string" },
    prompt: { type: "string" },
    n: { type: "string" },
    "max-tokens": { type: "string" },
    temperature: { type: "string" },
    "top-k": { type: "string" },
    "top-p": { type: "string" },
    "min-p": { type: "string" },
    seed: { type: "string" },
    json: { type: "boolean" },
    ...deviceOptions,
  },
  run,
};

async function run(args: Arguments, io: Io): Promise<number> {
  const model = textOption(args, "model");
  const prompt = textOption(args, "prompt");
  if (model === undefined) throw new CohortError("bad-input", "sample: no model", "give --model DIR");
  if (prompt === undefined) throw new CohortError("bad-input", "sample: no prompt", "give --prompt TEXT");
  const device = readDeviceOptions(args);
  const options = {
    ...device,
    model,
    prompt,
    n: numberOption(args, "n", { min: 1, max: 65536, whole: true }) ?? 1,
    maxTokens: numberOption(args, "max-tokens", { min: 1, whole: true }) ?? 128,
    temperature: numberOption(args, "temperature", { min: 0, max: 100 }) ?? 1,
    topK: numberOption(args, "top-k", { min: 0, whole: true }) ?? 0,
    topP: numberOption(args, "top-p", { min: 1e-6, max: 1 }) ?? 1,
    minP: numberOption(args, "min-p", { min: 0, max: 1 }) ?? 0,
    seed: numberOption(args, "seed", { min: 0, max: 2 ** 32 - 1, whole: true }) ?? 0,
  };
  const engine = await io.engine(device);
  try {
    for await (const result of engine.sample(options)) {
      io.out(args.values.json ? jsonLine(result) : `${prompt}${result.text}\n${options.n > 1 ? "---\n" : ""}`);
    }
  } finally {
    await engine.close();
  }
  return 0;
}
