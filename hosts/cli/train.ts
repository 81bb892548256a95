/** @file `cohort train`. */

import type { RunInfo, TrainHooks, TrainResult } from "../../core/api.ts";
import { applySet, configKeys, isDataTask, parseConfig, type TrainConfig, taskName } from "../../core/config.ts";
import { demoConfig } from "../../core/demo.ts";
import { CohortError } from "../../core/errors.ts";
import { jsonLine } from "../../core/log.ts";
import { formatNumber } from "../../core/plot.ts";
import { writeReport } from "../../core/report.ts";
import { Run, readRunConfig } from "../../core/run.ts";
import { withLoggers } from "../log/logger.ts";
import { tensorBoard } from "../log/tensorboard.ts";
import {
  type Arguments,
  type Command,
  deviceHelp,
  deviceOf,
  deviceOptions,
  folderOf,
  type Io,
  numberOption,
  readDeviceOptions,
  readJson,
  textOption,
} from "./command.ts";
import { evaluationJson, evaluationLine, evaluationTable, samplesText } from "./evaluation.ts";
import { settlePaths } from "./run-paths.ts";
import { duration, Status } from "./status.ts";

const keyHelp = () => {
  const keys = configKeys();
  const width = Math.max(...keys.map((k) => k.path.length));
  return keys.map((k) => `  ${k.path.padEnd(width)}  ${k.doc} (${k.standard})`).join("\n");
};

export const train: Command = {
  summary: "train a model; without arguments, a demonstration that needs nothing",
  get help() {
    return `usage: cohort train [CONFIG.json] [options]

Trains the model of CONFIG.json and writes a run folder. Without CONFIG.json it makes a small model, warm-starts it and
improves it on a built-in task.

  --set KEY=VALUE      override a key, as in --set steps=20 --set lora.rank=8 (may be repeated)
  --out DIR            run folder (default: runs/<task>-<recipe>-<seed>)
  --resume DIR         continue the run in DIR from its newest checkpoint; CONFIG.json may be left out. Files that are
                       no longer where they were are looked for beside the run; else --set task.prompts=FILE says where
  --seed N             the same as --set seed=N
  --tensorboard        also write the curves into an event file of the run folder: tensorboard --logdir runs
  --json               one line of JSON a step, and a last line with the result: digest, steps, seconds, reward, loss,
                       eval, run (its folder), checkpoint (the trained model's), report; notes go to standard error
${deviceHelp}

Keys of CONFIG.json (and their defaults); relative paths start from its folder:
${keyHelp()}
`;
  },
  positionals: true,
  options: {
    set: { type: "string", multiple: true },
    out: { type: "string" },
    resume: { type: "string" },
    seed: { type: "string" },
    tensorboard: { type: "boolean" },
    json: { type: "boolean" },
    ...deviceOptions,
  },
  run,
};

/** The configuration that the arguments ask for. */
export async function readConfig(args: Arguments, io: Io): Promise<TrainConfig> {
  if (args.positionals.length > 1) {
    throw new CohortError("bad-input", `train: ${args.positionals.length} configurations`, "give one CONFIG.json");
  }
  const file = args.positionals[0];
  const resume = textOption(args, "resume");
  const json =
    file !== undefined
      ? await readJson(io, file)
      : resume !== undefined
        ? await readRunConfig(io.storage, resume)
        : demoConfig;
  const seed = numberOption(args, "seed", { min: 0, max: 2 ** 32 - 1, whole: true });
  const sets = (args.values.set as string[] | undefined) ?? [];
  let config = parseConfig(
    { ...applySetChecked(json, sets), ...(seed !== undefined && { seed }), ...readDeviceOptions(args) },
    {
      base: file === undefined ? io.cwd.replaceAll("\\", "/") : folderOf(io, file),
      where: file ?? (resume ? `${resume}/config.json` : "config"),
    },
  );
  const out = resume ?? textOption(args, "out");
  if (out !== undefined) config.out = out;
  if (resume !== undefined) {
    config.resume = true;
    if (file === undefined) config = await settlePaths(config, resume, io);
  }
  return config;
}

/** A file that holds no object keeps its own complaint. */
function applySetChecked(json: unknown, sets: readonly string[]): Record<string, unknown> {
  if (typeof json !== "object" || json === null || Array.isArray(json)) parseConfig(json);
  return applySet(json, sets);
}

async function run(args: Arguments, io: Io): Promise<number> {
  const json = args.values.json === true;
  const config = await readConfig(args, io);
  const recipe = await io.recipe(config.recipe);
  const engine = await io.engine(deviceOf(config));
  const status = new Status(io);
  const stop = new AbortController();
  const note = (text: string) => (json ? io.err(`cohort: ${text}\n`) : status.line(text));
  const silence = io.onInterrupt(() => {
    stop.abort();
    note("finishing this step and writing a checkpoint; Ctrl-C again stops at once");
  });
  let info: RunInfo | undefined;
  let result: TrainResult;
  try {
    const loggers = args.values.tensorboard === true ? [tensorBoard({ storage: io.storage })] : [];
    const hooks: TrainHooks = {
      signal: stop.signal,
      onStart(started) {
        info = started;
        if (!json) status.line(heading(started));
        status.begin(started.resumedAt ?? 0);
      },
      onWarmStart({ step, steps, loss }) {
        if (json) return;
        if (step === 1) status.begin();
        status.warmStart(step, steps, loss);
        if (step === steps) {
          status.line(`warm start: ${steps} supervised steps, loss ${formatNumber(loss)}`);
          status.begin(info?.resumedAt ?? 0);
        }
      },
      onStep(metrics) {
        if (json) io.out(jsonLine(metrics));
        else status.step(metrics, config.steps);
      },
      onEval(when, evaluation) {
        if (json) return;
        const name =
          typeof when === "number" ? `after step ${when}` : when === "before" ? "before training" : "after training";
        status.line(`${name}: ${evaluationLine(evaluation)}`);
        // Evaluation takes its own time: the pace of the steps is measured from here.
        status.begin(typeof when === "number" ? when : (info?.resumedAt ?? 0));
      },
      onNote: note,
    };
    result = await withLoggers(loggers, hooks, (told) => engine.train(config, told));
  } finally {
    silence();
    status.clear();
    await engine.close();
  }

  const finished = new Run(io.storage, result.run, { ...config, out: result.run }, null);
  const report = await writeReport(finished, {
    recipe,
    digest: result.digest,
    seconds: result.seconds,
    environment: {
      runtime: io.runtime,
      ...(info && { device: info.device, parameters: info.parameters, "trained parameters": info.trainable }),
      precision: config.precision,
    },
  });
  if (json) io.out(jsonLine(lastLine(result, report)));
  else io.out(ending(result, report));
  return result.interrupted ? 1 : 0;
}

function heading({ config, derived, device, parameters, trainable, memory, run: dir, resumedAt }: RunInfo): string {
  const trained = trainable < parameters ? `, ${formatNumber(trainable)} trained` : "";
  return [
    `${taskName(config)} · ${config.recipe} · seed ${config.seed} · ${device}`,
    `model: ${formatNumber(parameters)} parameters${trained}${memory ? ` · memory up to ${formatNumber(memory / 2 ** 20)} MiB` : ""}`,
    isDataTask(config.task)
      ? `a step: ${config.promptsPerStep} examples, one optimiser step; ${derived.optimizerSteps} in all`
      : `a step: ${config.promptsPerStep} prompts × ${config.rolloutsPerPrompt} rollouts = ${derived.trajectoriesPerStep} trajectories, ${derived.optimizerStepsPerStep} optimiser steps of ${derived.trajectoriesPerOptimizerStep}; ${derived.optimizerSteps} optimiser steps in all`,
    `run folder: ${dir}${resumedAt === undefined ? "" : ` (continues after step ${resumedAt})`}`,
  ].join("\n");
}

function lastLine(result: TrainResult, report: string): object {
  return {
    done: true,
    digest: result.digest,
    steps: result.steps,
    seconds: result.seconds,
    reward: result.reward,
    loss: result.loss,
    eval: { before: evaluationJson(result.eval.before), after: evaluationJson(result.eval.after) },
    run: result.run,
    checkpoint: result.checkpoint,
    report,
    ...(result.interrupted && { interrupted: true }),
  };
}

function ending(result: TrainResult, report: string): string {
  const { before, after } = result.eval;
  const columns = [before && (["before", before] as const), after && (["after", after] as const)].filter((c) => !!c);
  const name = result.reward.last === null && result.loss.last !== null ? "loss" : "reward";
  const { first, last } = result[name];
  const parts = [""];
  if (columns.length > 0) parts.push(evaluationTable(columns), "");
  const samples = samplesText(before, after);
  if (samples) parts.push("held-out completions", samples, "");
  parts.push(
    `${name} ${formatNumber(first)} → ${formatNumber(last)} in ${result.steps} steps, ${duration(result.seconds)}`,
    `digest ${result.digest}`,
    `run    ${result.run}`,
    `report ${report}`,
  );
  if (result.interrupted) parts.push("", `stopped; to continue: cohort train --resume ${result.run}`);
  return `${parts.join("\n")}\n`;
}
