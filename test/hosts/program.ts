/** @file A run in Deno or Bun: `program.ts '{"run":"sort",…}'` prints its record as JSON. Started by the tests. */
import type { DeviceOptions } from "../../core/api.ts";
import { type Asked, makeRun } from "./run.ts";

const argv = "Deno" in globalThis ? (globalThis as unknown as { Deno: { args: string[] } }).Deno.args : process.argv;
const { device, ...asked } = JSON.parse(argv.at(-1)!) as Asked & { device: DeviceOptions };
const { createEngine } = await import("Deno" in globalThis ? "../../hosts/deno.ts" : "../../hosts/node.ts");
const engine = await createEngine(device);
const record = await makeRun(engine, asked);
await engine.close();
console.log(JSON.stringify(record));
