/** @file `cohort doctor`: what this machine offers, and whether its adapters keep to the exact bits. */

import { jsonLine } from "../../core/log.ts";
import { type Arguments, type Command, deviceOptions, type Io, readDeviceOptions } from "./command.ts";
import { table } from "./status.ts";

export const doctor: Command = {
  summary: "what this machine offers, and whether its adapters give exact bits",
  help: `usage: cohort doctor [--json]

Probes every adapter with the exact kernels and says which backend "auto" takes.
`,
  options: { json: { type: "boolean" }, ...deviceOptions },
  run,
};

async function run(args: Arguments, io: Io): Promise<number> {
  const engine = await io.engine(readDeviceOptions(args));
  try {
    const found = await engine.doctor();
    if (args.values.json) {
      io.out(jsonLine(found));
      return 0;
    }
    const rows = found.adapters.map((a) => [a.name, a.exact ? "exact" : `not exact: ${a.failed.join(", ")}`]);
    io.out(rows.length > 0 ? `${table([["adapter", "bits"], ...rows])}\n` : "no adapter\n");
    io.out(`auto takes ${found.auto}\n`);
    for (const [name, value] of Object.entries(found.notes ?? {})) io.out(`${name}: ${value}\n`);
  } finally {
    await engine.close();
  }
  return 0;
}
