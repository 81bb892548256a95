/**
 * WASM against the golden digests of the conformance suite, plain and relaxed SIMD, one and two threads. The digests are
 * what every other backend is held to: COHORT_GOLDEN=write makes them anew, and the difference then shows in review.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { caseKey, conformance, conformanceCases } from "../core/conformance.ts";
import { kernelNames } from "../core/kernels.ts";
import { CpuDevice, hasRelaxedSimd } from "../hosts/cpu.ts";
import { spawnThread } from "../hosts/node-threads.ts";

const file = join(import.meta.dirname, "golden/conformance.json");

async function digests(threads: number, relaxed: boolean): Promise<Record<string, string>> {
  const device = await CpuDevice.create(threads, { spawn: spawnThread, relaxed, ...(threads > 1 && { slices: 5 }) });
  const results = await conformance(device);
  device.close();
  return Object.fromEntries(results.map((r) => [caseKey({ kernel: r.kernel, name: r.case }), r.digest]));
}

describe("conformance suite on WASM", () => {
  test("has a case of every kernel, and no two of one name", () => {
    const cases = conformanceCases();
    expect(new Set(cases.map((c) => c.kernel))).toEqual(new Set(kernelNames));
    expect(new Set(cases.map(caseKey)).size).toBe(cases.length);
  });
  test("gives the golden digests, whatever the threads and the SIMD", async () => {
    const plain = await digests(1, false);
    if (process.env.COHORT_GOLDEN === "write") {
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, `${JSON.stringify(plain, null, 2)}\n`);
    }
    expect(plain).toEqual(JSON.parse(readFileSync(file, "utf8")));
    expect(await digests(2, hasRelaxedSimd())).toEqual(plain);
  });
});
