/** @file The conformance suite as a table: a row a kernel, with the digest over its cases and those that differ. */
import { caseKey, conformanceCases, digestOf, runCase } from "./conformance.ts";
import type { Device } from "./device.ts";
import { golden } from "./generated/golden.ts";

export interface KernelConformance {
  kernel: string;
  /** cases run */
  cases: number;
  /** over the digests of all its cases, 16 hexadecimal digits */
  digest: string;
  /** the same over the golden digests */
  golden: string;
  /** names of the cases whose digest is not the golden one */
  failed: string[];
}

/** A digest over digests, in their order. */
function fold(digests: readonly string[]): string {
  return digestOf([
    Uint32Array.from(
      digests.flatMap((d) => [d.slice(0, 8), d.slice(8)]),
      (half) => Number(`0x${half}`),
    ),
  ]);
}

/**
 * Runs every case on a device.
 * @param onKernel told each kernel's row as it is ready
 */
export async function conformanceReport(
  device: Device,
  onKernel: (row: KernelConformance) => void = () => {},
): Promise<KernelConformance[]> {
  const byKernel = new Map<string, ReturnType<typeof conformanceCases>>();
  for (const one of conformanceCases()) byKernel.set(one.kernel, [...(byKernel.get(one.kernel) ?? []), one]);
  const rows: KernelConformance[] = [];
  for (const [kernel, cases] of byKernel) {
    const got: string[] = [];
    const want: string[] = [];
    const failed: string[] = [];
    for (const one of cases) {
      const digest = digestOf(await runCase(device, one));
      const right = golden[caseKey(one)] ?? "0".repeat(16);
      got.push(digest);
      want.push(right);
      if (digest !== right) failed.push(one.name);
    }
    const row = { kernel, cases: cases.length, digest: fold(got), golden: fold(want), failed };
    rows.push(row);
    onKernel(row);
  }
  return rows;
}
