/**
 * @file The probe: may this device be used in exact mode? A subset of the conformance suite against the digests that WASM
 * gave when they were made. On SwiftShader it takes five to seven seconds for precision 12 and twice that for 24, nearly all
 * of it compiling.
 */
import { caseKey, conformanceCases, digestOf, runCase } from "./conformance.ts";
import type { Device, Precision } from "./device.ts";
import { golden } from "./generated/golden.ts";
import type { KernelName } from "./kernels.ts";

export interface ProbeResult {
  /** Every kernel that was tried gave the bits of WASM. */
  exact: boolean;
  /** Kernels that did not, each once. */
  failed: string[];
}

/**
 * @param options.only these kernels; default: all
 * @param options.precision of the models that will run: attention of precision 24 takes as long to compile as all the rest,
 *   and is left out with 12
 * @throws CohortError "device" where the device is lost or refuses a kernel
 */
export async function probe(
  device: Device,
  options: { only?: readonly KernelName[]; precision?: Precision } = {},
): Promise<ProbeResult> {
  const { only, precision = 24 } = options;
  const failed = new Set<string>();
  for (const one of conformanceCases()) {
    if (!one.probe || (one.probe === 24 && precision === 12)) continue;
    if (failed.has(one.kernel) || only?.includes(one.kernel) === false) continue;
    if (digestOf(await runCase(device, one)) !== golden[caseKey(one)]) failed.add(one.kernel);
  }
  return { exact: failed.size === 0, failed: [...failed] };
}
