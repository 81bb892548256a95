/** @file `cohort conformance`: every exact kernel on this device against the golden digests, as a table. */

import type { Difference, KernelConformance } from "../../core/conformance-report.ts";
import { CohortError } from "../../core/errors.ts";
import { jsonLine } from "../../core/log.ts";
import { type Arguments, type Command, deviceHelp, deviceOptions, type Io, readDeviceOptions } from "./command.ts";
import { table } from "./status.ts";

export const conformance: Command = {
  summary: "every exact kernel on this device against the golden digests",
  help: `usage: cohort conformance [--backend wasm|webgpu] [--adapter NAME] [--details] [--json]

Runs each kernel on many shapes and compares what it leaves, bit for bit, with the digests that WASM gave. Ends with 1
where a kernel differs. An adapter that the probe refuses is run all the same. --details prints, of each buffer that
differs, the first elements: bits here, bits of WASM. --json prints a line a kernel, with the same, and a last line with
the device.
${deviceHelp}
`,
  options: { details: { type: "boolean" }, json: { type: "boolean" }, ...deviceOptions },
  run,
};

async function run(args: Arguments, io: Io): Promise<number> {
  const engine = await io.engine({ ...readDeviceOptions(args), probe: false });
  try {
    if (!engine.conformance)
      throw new CohortError("device", "conformance: this engine has no suite", "use another host");
    const { device, kernels } = await engine.conformance();
    const exact = kernels.every(({ failed }) => failed.length === 0);
    if (args.values.json) {
      for (const row of kernels) io.out(jsonLine(row));
      io.out(jsonLine({ done: true, device, exact }));
    } else {
      io.out(`${device} · ${io.runtime}\n`);
      io.out(`${table([["kernel", "cases", "digest", "golden", "bits"], ...kernels.map(cells)])}\n`);
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

function cells({ kernel, cases, digest, golden, failed }: KernelConformance): string[] {
  return [kernel, String(cases), digest, golden, failed.length === 0 ? "exact" : `${failed.length} differ`];
}

function difference({ buffer, length, differ, first }: Difference): string {
  const elements = first.map(({ index, got, wanted }) => `    [${index}] ${got}, wanted ${wanted}\n`);
  return `  ${buffer}: ${differ} of ${length} elements differ\n${elements.join("")}`;
}
