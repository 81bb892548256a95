/** @file Runs in Deno or Bun: `program.ts '{"device":{},"runs":[{"run":"sort",…}]}'` prints a record a line. Started by the tests. */
import type { DeviceOptions } from "../../core/api.ts";
import { type Asked, makeRun } from "./run.ts";

const argv = "Deno" in globalThis ? (globalThis as unknown as { Deno: { args: string[] } }).Deno.args : process.argv;
const { device, runs } = JSON.parse(argv.at(-1)!) as { device: DeviceOptions; runs: Asked[] };
const { createEngine } = await import("Deno" in globalThis ? "../../hosts/deno.ts" : "../../hosts/node.ts");
const engine = await createEngine(device);
for (const asked of runs) console.log(JSON.stringify(await makeRun(engine, asked)));
await engine.close();
