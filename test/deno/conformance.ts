/**
 * Deno: the conformance suite on its adapter (wgpu), run from the source as it is; prints a JSON line {name, results}.
 *   deno run --unstable-webgpu --allow-env test/deno/conformance.ts [only cases whose key holds this]
 */
import { caseKey, conformance, conformanceCases } from "../../core/conformance.ts";
import { GpuDevice } from "../../hosts/gpu.ts";

declare const Deno: { args: string[]; exit(code: number): never };

const adapter = await navigator.gpu?.requestAdapter();
if (!adapter) {
  console.log(JSON.stringify({ name: null, results: [] }));
  Deno.exit(0);
}
const device = await GpuDevice.create(adapter);
const cases = conformanceCases().filter((c) => !Deno.args[0] || caseKey(c).includes(Deno.args[0]));
console.log(JSON.stringify({ name: device.name, results: await conformance(device, cases) }));
device.close();
device.gpu.destroy();
Deno.exit(0);
