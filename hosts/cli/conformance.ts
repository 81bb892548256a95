/** @file `cohort conformance`: the exact kernels on this device against the golden digests, a row as each is done. */

import type { Engine } from "../../core/api.ts";
import type { Difference, KernelConformance } from "../../core/conformance-report.ts";
import { CohortError, nearest } from "../../core/errors.ts";
import { type KernelName, kernelNames } from "../../core/kernels.ts";
import { jsonLine } from "../../core/log.ts";
import { type Arguments, type Command, deviceHelp, deviceOptions, type Io, readDeviceOptions } from "./command.ts";

export const conformance: Command = {
  summary: "every exact kernel on this device against the golden digests",
  help: `usage: cohort conformance [KERNEL…] [--backend wasm|webgpu] [--adapter NAME] [--details] [--json]

Runs each kernel (or those that are named) on many shapes and compares what it leaves, bit for bit, with the digests that
WASM gave. A row is printed as soon as its kernel is done. An adapter that the probe refuses is run all the same.
--details prints, of each buffer that differs, the first elements: bits here, bits of WASM. --json prints a line a kernel,
with the same, and a last line with the device.

Exit codes: 0 all exact, 1 a kernel differs or failed, 2 the command line was refused, 3 no such adapter, or none at all.
${deviceHelp}
`,
  positionals: true,
  options: { details: { type: "boolean" }, json: { type: "boolean" }, ...deviceOptions },
  run,
};

async function run(args: Arguments, io: Io): Promise<number> {
  const only = readKernels(args.positionals);
  const asked = readDeviceOptions(args);
  const engine = await openEngine(io, { ...asked, probe: false });
  try {
    if (!engine.conformance) {
      throw new CohortError("device", "conformance: this engine has no suite", "use another host", { exitCode: 3 });
    }
    const name = engine.runtime?.device.name;
    if (!args.values.json) {
      io.out(`${name === undefined ? "" : `${name} · `}${io.runtime}\n`);
      io.out(line(["kernel", "cases", "digest", "golden", "bits"]));
    }
    const { device, kernels } = await engine.conformance(
      (row) => io.out(args.values.json ? jsonLine(row) : line(cells(row))),
      only,
    );
    const exact = kernels.every(({ failed }) => failed.length === 0);
    if (args.values.json) io.out(jsonLine({ done: true, device, exact }));
    else {
      for (const { kernel, failed, differences = [] } of kernels) {
        for (const name of failed) {
          io.out(`differs: ${kernel}: ${name}\n`);
          if (!args.values.details) continue;
          for (const one of differences) if (one.case === name) io.out(difference(one));
        }
      }
      io.out(exact ? "all exact\n" : "not exact\n");
    }
    return exact ? 0 : 1;
  } finally {
    await engine.close();
  }
}

/** A device that is not there is no kernel that differs: scripts tell them apart by the exit code. */
async function openEngine(io: Io, options: Parameters<Io["engine"]>[0]): Promise<Engine> {
  try {
    return await io.engine(options);
  } catch (cause) {
    if (!(cause instanceof CohortError) || cause.code !== "device") throw cause;
    throw new CohortError("device", cause.message, "", { cause, exitCode: 3 });
  }
}

function readKernels(names: readonly string[]): KernelName[] | undefined {
  for (const name of names) {
    if ((kernelNames as string[]).includes(name)) continue;
    const near = nearest(name, kernelNames);
    throw new CohortError(
      "bad-input",
      `conformance: "${name}" is not a kernel${near ? ` (did you mean "${near}"?)` : ""}`,
      `choose from ${kernelNames.join(", ")}`,
    );
  }
  return names.length > 0 ? (names as KernelName[]) : undefined;
}

/** Widths are known before the first row is. */
const widths = [Math.max(...kernelNames.map((name) => name.length)), 5, 16, 16];

function line(texts: readonly string[]): string {
  const padded = texts.map((text, i) => (i === 1 ? text.padStart(widths[i]) : text.padEnd(widths[i] ?? 0)));
  return `${padded.join("  ").trimEnd()}\n`;
}

function cells({ kernel, cases, digest, golden, failed }: KernelConformance): string[] {
  return [kernel, String(cases), digest, golden, failed.length === 0 ? "exact" : `${failed.length} differ`];
}

function difference({ buffer, length, differ, first }: Difference): string {
  const elements = first.map(({ index, got, wanted }) => `    [${index}] ${got}, wanted ${wanted}\n`);
  return `  ${buffer}: ${differ} of ${length} elements differ\n${elements.join("")}`;
}
