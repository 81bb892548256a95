/** WGSL bits = WASM bits: every kernel on every case of the conformance suite, in Node under Dawn and SwiftShader. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { caseKey, conformanceCases, runCase } from "../core/conformance.ts";
import { kernelNames, kernels } from "../core/kernels.ts";
import type { CpuDevice } from "../hosts/cpu.ts";
import type { GpuDevice } from "../hosts/gpu.ts";
import { cpu } from "./support/devices.ts";
import { softwareAdapter, softwareGpu } from "./support/gpu.ts";

const skip = (await softwareAdapter()) ? null : "no SwiftShader here";

describe.skipIf(skip)(`WGSL = WASM${skip ? ` (skipped: ${skip})` : ""}`, () => {
  let wasm: CpuDevice;
  let gpu: GpuDevice;
  beforeAll(async () => {
    wasm = await cpu(1);
    gpu = (await softwareGpu())!;
  });
  afterAll(() => {
    wasm?.close();
    gpu?.close();
    gpu?.gpu.destroy();
  });
  for (const kernel of kernelNames) {
    test(kernel, { timeout: 300_000 }, async () => {
      const labels = Object.entries(kernels[kernel].buffers).filter(([, access]) => access !== "r");
      for (const one of conformanceCases().filter((c) => c.kernel === kernel)) {
        const want = await runCase(wasm, one);
        const got = await runCase(gpu, one);
        want.forEach((words, i) => {
          const at = words.findIndex((word, j) => word !== got[i][j]);
          expect(at, `${caseKey(one)}: first different word of ${labels[i][0]}`).toBe(-1);
        });
      }
    });
  }
});
