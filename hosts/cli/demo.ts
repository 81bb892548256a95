/** @file `cohort demo`: a paper's claim, measured: system against baseline, with the same seeds and compute. */

import type { DemoResult, Lab } from "../../core/demos/lib/demo.ts";
import type { Interval } from "../../core/demos/lib/verdict.ts";
import { CohortError } from "../../core/errors.ts";
import { demoIds } from "../../core/generated/demo-ids.ts";
import { jsonLine } from "../../core/log.ts";
import { formatNumber } from "../../core/plot.ts";
import {
  type Arguments,
  type Command,
  deviceHelp,
  deviceOptions,
  type Io,
  numberOption,
  readDeviceOptions,
} from "./command.ts";
import { duration, Status, table, wrap } from "./status.ts";

export const demo: Command = {
  summary: "what a paper claims of its system against a baseline, measured here",
  help: `usage: cohort demo ID… [options]
       cohort demo --all [options]

Trains system and baseline from the same seeds with the same compute, on tabular policies or tiny transformers, and prints
each measure's means over seeds with 95 % intervals (Student's t), the difference seed by seed, and whether the claim held
at this scale: "held" where the interval says so, "not held" where the mean contradicts it, else "undecided".

  --seeds N            seeds 1 … N (default: the demonstration's, at least 5)
  --all                all of them
  --json               one line of JSON a demonstration
${deviceHelp}

Demonstrations: ${demoIds.join(" ")}
`,
  positionals: true,
  options: { seeds: { type: "string" }, all: { type: "boolean" }, json: { type: "boolean" }, ...deviceOptions },
  run,
};

async function run(args: Arguments, io: Io): Promise<number> {
  const ids = args.values.all === true ? demoIds : args.positionals;
  if (ids.length === 0) {
    throw new CohortError("bad-input", "demo: no ID", `name one of ${demoIds.join(", ")}, or give --all`);
  }
  const seeds = numberOption(args, "seeds", { min: 2, max: 1000, whole: true });
  const json = args.values.json === true;
  const { loadDemo, runDemo } = await import("../../core/demos/lib/demo.ts");
  const demos = [];
  for (const id of ids) demos.push(await loadDemo(id));
  const { lab, close } = laboratory(args, io);
  const status = new Status(io);
  const width = Math.max(60, Math.min(io.columns, 140));
  const verdicts: [string, string][] = [];
  try {
    for (const each of demos) {
      const began = io.now();
      const result = await runDemo(each, lab, {
        ...(seeds !== undefined && { seeds }),
        onRun: (arm, seed) => io.terminal && !json && status.progress(`${each.id} · ${arm} · seed ${seed}`),
      });
      status.clear();
      verdicts.push([result.id, result.verdict]);
      const seconds = (io.now() - began) / 1000;
      io.out(json ? jsonLine({ ...result, seconds }) : `${text(result, width)}\n${duration(seconds)}\n\n`);
    }
  } finally {
    await close();
  }
  if (!json && verdicts.length > 1) io.out(`${table([["system", "verdict"], ...verdicts])}\n`);
  return 0;
}

/** An engine that starts when the first transformer asks for it. */
function laboratory(args: Arguments, io: Io): { lab: Lab; close(): Promise<void> } {
  let engine: ReturnType<Io["engine"]> | undefined;
  const lab: Lab = {
    async runtime() {
      engine ??= io.engine({ backend: "wasm", ...readDeviceOptions(args) });
      const { runtime } = await engine;
      if (runtime) return runtime;
      throw new CohortError("device", "demo: this host's engine shows no runtime", "run it with Node or Deno");
    },
  };
  return { lab, close: async () => (await engine)?.close() };
}

const interval = (x: Interval | null): string => {
  if (!x) return "–";
  const range = Number.isFinite(x.low) ? ` [${formatNumber(x.low)}, ${formatNumber(x.high)}]` : "";
  return `${formatNumber(x.mean)}${range}`;
};

/** The table of a demonstration, for people. */
export function text(result: DemoResult, width: number): string {
  const { baseline, system } = result;
  const named = (measure: string, a: string, b: string) =>
    a === baseline && b === system ? measure : `${measure}: ${b} against ${a}`;
  const rows = result.rows.map((r) => [
    named(r.measure, r.baselineArm, r.systemArm),
    interval(r.baseline),
    interval(r.system),
    interval(r.difference),
    r.claim ?? "",
    r.verdict ?? "",
  ]);
  return [
    `${result.id}: ${system} against ${baseline}, ${result.seeds.length} seeds`,
    wrap(`claim: ${result.claim}`, width, "  "),
    wrap(`task: ${result.task}`, width, "  "),
    "",
    table([["measure", baseline, system, "difference", "claimed", "verdict"], ...rows]),
    "",
    `at this scale: ${result.verdict}`,
  ].join("\n");
}
