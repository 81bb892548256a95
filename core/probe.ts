/**
 * @file The probe: may this device be used in exact mode? A subset of the conformance suite against the digests that WASM
 * gave when they were made. On SwiftShader it takes five to seven seconds, nearly all of it compiling.
 */
import { caseKey, conformanceCases, digestOf, runCase } from "./conformance.ts";
import type { Device } from "./device.ts";
import { golden } from "./generated/golden.ts";
import type { KernelName } from "./kernels.ts";

export interface ProbeResult {
  /** Every kernel that was tried gave the bits of WASM. */
  exact: boolean;
  /** Kernels that did not, each once. */
  failed: string[];
}

/**
 * @param only these kernels; default: all
 * @throws CohortError "device" where the device is lost or refuses a kernel
 */
export async function probe(device: Device, only?: readonly KernelName[]): Promise<ProbeResult> {
  const failed = new Set<string>();
  for (const one of conformanceCases()) {
    if (!one.probe || failed.has(one.kernel) || only?.includes(one.kernel) === false) continue;
    if (digestOf(await runCase(device, one)) !== golden[caseKey(one)]) failed.add(one.kernel);
  }
  return { exact: failed.size === 0, failed: [...failed] };
}
