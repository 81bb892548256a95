/** @file `cohort conformance`: every exact kernel on this device against the golden digests, as a table. */

import type { KernelConformance } from "../../core/conformance-report.ts";
import { CohortError } from "../../core/errors.ts";
import { jsonLine } from "../../core/log.ts";
import { type Arguments, type Command, deviceHelp, deviceOptions, type Io, readDeviceOptions } from "./command.ts";
import { table } from "./status.ts";

export const conformance: Command = {
  summary: "every exact kernel on this device against the golden digests",
  help: `usage: cohort conformance [--backend wasm|webgpu] [--json]

Runs each kernel on many shapes and compares what it leaves, bit for bit, with the digests that WASM gave. Ends with 1
where a kernel differs. --json prints a line a kernel, and a last line with the device.
${deviceHelp}
`,
  options: { json: { type: "boolean" }, ...deviceOptions },
  run,
};

async function run(args: Arguments, io: Io): Promise<number> {
  const engine = await io.engine(readDeviceOptions(args));
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
      for (const { kernel, failed } of kernels) for (const name of failed) io.out(`differs: ${kernel}: ${name}\n`);
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
