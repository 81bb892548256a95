/** @file `cohort score`. */

import { CohortError } from "../../core/errors.ts";
import { jsonLine } from "../../core/log.ts";
import { formatNumber } from "../../core/plot.ts";
import {
  type Arguments,
  type Command,
  deviceHelp,
  deviceOptions,
  type Io,
  readDeviceOptions,
  readJson,
  textOption,
} from "./command.ts";
import { table } from "./status.ts";

export const score: Command = {
  summary: "teacher-forced log-probabilities and entropies of given ids or text",
  help: `usage: cohort score --model DIR (--ids FILE.json | --text TEXT) [options]

  --model DIR          Hugging Face model directory, or a checkpoint of a run
  --ids FILE.json      a list of token ids; n ids give n − 1 log-probabilities
  --text TEXT          a text for the model's tokenizer
  --grad               also the L2 norm of each parameter's gradient of the mean negative log-likelihood
  --json               one line of JSON: logprob, entropy (nats), nll, grad_l2
${deviceHelp}
`,
  options: {
    model: { type: "string" },
    ids: { type: "string" },
    text: { type: "string" },
    grad: { type: "boolean" },
    json: { type: "boolean" },
    ...deviceOptions,
  },
  run,
};

async function readIds(io: Io, path: string): Promise<number[]> {
  const json = await readJson(io, path);
  const ids = Array.isArray(json) ? json : (json as { ids?: unknown } | null)?.ids;
  if (!Array.isArray(ids) || ids.length < 2) {
    throw new CohortError("bad-input", `${path}: no list of at least 2 ids`, "write token ids as in [1, 403, 407]");
  }
  const at = ids.findIndex((id) => !Number.isInteger(id) || id < 0);
  if (at >= 0) {
    throw new CohortError("bad-input", `${path}: id ${at} is ${JSON.stringify(ids[at])}`, "write whole numbers from 0");
  }
  return ids;
}

async function run(args: Arguments, io: Io): Promise<number> {
  const model = textOption(args, "model");
  const file = textOption(args, "ids");
  const text = textOption(args, "text");
  if (model === undefined) throw new CohortError("bad-input", "score: no model", "give --model DIR");
  if ((file === undefined) === (text === undefined)) {
    throw new CohortError(
      "bad-input",
      `score: ${file === undefined ? "nothing" : "both ids and a text"} to score`,
      "give --ids FILE.json or --text TEXT",
    );
  }
  const ids = file === undefined ? text! : await readIds(io, file);
  const device = readDeviceOptions(args);
  const engine = await io.engine(device);
  try {
    const result = await engine.score({ ...device, model, ids, grad: args.values.grad === true });
    if (args.values.json) io.out(jsonLine(result));
    else {
      const rows = result.logprob.map((l, k) => [String(k + 1), l.toFixed(5), result.entropy[k].toFixed(5)]);
      io.out(
        `${table([["position", "logprob", "entropy"], ...rows])}\nmean negative log-likelihood ${result.nll.toFixed(6)} nats\n`,
      );
      if (result.grad_l2) {
        const norms = Object.entries(result.grad_l2).map(([name, norm]) => [name, formatNumber(norm)]);
        io.out(`${table([["gradient of", "L2 norm"], ...norms])}\n`);
      }
    }
  } finally {
    await engine.close();
  }
  return 0;
}
