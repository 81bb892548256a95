/**
 * Deno: the conformance suite on its adapter (wgpu), run from the source as it is, and what is fast there within its
 * tolerance; prints a JSON line {name, results, fast}.
 *   deno run --unstable-webgpu --allow-env test/deno/conformance.ts [only cases whose key holds this]
 */
import { caseKey, conformance, conformanceCases } from "../../core/conformance.ts";
import { GpuDevice } from "../../hosts/gpu.ts";
import { fastProducts } from "./fast.ts";

declare const Deno: { args: string[]; exit(code: number): never };

// An adapter gives one device.
const second = await navigator.gpu?.requestAdapter();
const adapter = await navigator.gpu?.requestAdapter();
if (!adapter || !second) {
  console.log(JSON.stringify({ name: null, results: [] }));
  Deno.exit(0);
}
const device = await GpuDevice.create(adapter);
const cases = conformanceCases().filter((c) => !Deno.args[0] || caseKey(c).includes(Deno.args[0]));
const results = await conformance(device, cases);
console.log(JSON.stringify({ name: device.name, results, fast: await fastProducts(second) }));
device.close();
device.gpu.destroy();
Deno.exit(0);
