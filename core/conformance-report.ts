/** @file The conformance suite as a table: a row a kernel, with the digest over its cases and those that differ. */
import { type ConformanceCase, caseKey, conformanceCases, digestOf, runCase } from "./conformance.ts";
import type { Device } from "./device.ts";
import { golden } from "./generated/golden.ts";
import { type KernelName, kernels } from "./kernels.ts";

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
  /** of the cases that failed, buffer by buffer; absent where none did, or there is no WASM to compare with */
  differences?: Difference[];
}

/** Where a buffer that a kernel wrote is not what WASM leaves there. */
export interface Difference {
  case: string;
  buffer: string;
  /** elements of the buffer */
  length: number;
  /** elements that differ */
  differ: number;
  /** the first of them; bits as 8 hexadecimal digits */
  first: { index: number; got: string; wanted: string }[];
}

/** Elements that are shown of a buffer. */
const SHOWN = 4;

/** A digest over digests, in their order. */
function fold(digests: readonly string[]): string {
  return digestOf([
    Uint32Array.from(
      digests.flatMap((d) => [d.slice(0, 8), d.slice(8)]),
      (half) => Number(`0x${half}`),
    ),
  ]);
}

const hex = (word: number) => word.toString(16).padStart(8, "0");

/** @param got, wanted the buffers that the kernel writes, in the order of the table */
function differences(one: ConformanceCase, got: readonly Uint32Array[], wanted: readonly Uint32Array[]): Difference[] {
  const { buffers } = kernels[one.kernel];
  const written = Object.keys(buffers).filter((name) => buffers[name] !== "r");
  return written.flatMap((buffer, b) => {
    const all = Array.from(wanted[b].keys()).filter((i) => got[b][i] !== wanted[b][i]);
    if (all.length === 0) return [];
    const first = all.slice(0, SHOWN).map((index) => ({
      index,
      got: hex(got[b][index]),
      wanted: hex(wanted[b][index]),
    }));
    return [{ case: one.name, buffer, length: wanted[b].length, differ: all.length, first }];
  });
}

/**
 * Runs every case on a device.
 * @param onKernel told each kernel's row as it is ready
 * @param wasm runs the cases that fail, so that their differences can be told
 * @param only the kernels that are run; default: all
 */
export async function conformanceReport(
  device: Device,
  onKernel: (row: KernelConformance) => void = () => {},
  wasm?: Device,
  only?: readonly KernelName[],
): Promise<KernelConformance[]> {
  const byKernel = new Map<string, ReturnType<typeof conformanceCases>>();
  for (const one of conformanceCases(only)) byKernel.set(one.kernel, [...(byKernel.get(one.kernel) ?? []), one]);
  const rows: KernelConformance[] = [];
  for (const [kernel, cases] of byKernel) {
    const got: string[] = [];
    const want: string[] = [];
    const failed: string[] = [];
    const differing: Difference[] = [];
    for (const one of cases) {
      const outputs = await runCase(device, one);
      const digest = digestOf(outputs);
      const right = golden[caseKey(one)] ?? "0".repeat(16);
      got.push(digest);
      want.push(right);
      if (digest === right) continue;
      failed.push(one.name);
      if (wasm && wasm !== device) differing.push(...differences(one, outputs, await runCase(wasm, one)));
    }
    const row: KernelConformance = { kernel, cases: cases.length, digest: fold(got), golden: fold(want), failed };
    if (differing.length > 0) row.differences = differing;
    rows.push(row);
    onKernel(row);
  }
  return rows;
}
