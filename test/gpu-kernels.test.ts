/**
 * WGSL bits = WASM bits in Node under Dawn and SwiftShader: every kernel on every case of the conformance suite, and on
 * windows of buffers larger than a binding; and a probe that catches a changed shader. All over one GPUDevice, on which the
 * same text is compiled once.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { caseKey, conformanceCases, runCase } from "../core/conformance.ts";
import { type KernelName, kernelNames, kernels } from "../core/kernels.ts";
import { probe } from "../core/probe.ts";
import type { CpuDevice } from "../hosts/cpu.ts";
import { GpuDevice } from "../hosts/gpu.ts";
import { examine, openGpu } from "../hosts/node-gpu.ts";
import { all, NOT_ASKED } from "./support/all.ts";
import { cpu } from "./support/devices.ts";
import { softwareAdapter, softwareGpu } from "./support/gpu.ts";
import { WINDOW_WORDS, windowCases } from "./support/windows.ts";

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
  async function compare(device: GpuDevice, kernel: KernelName): Promise<void> {
    const labels = Object.entries(kernels[kernel].buffers).filter(([, access]) => access !== "r");
    for (const one of conformanceCases().filter((c) => c.kernel === kernel)) {
      const want = await runCase(wasm, one);
      const got = await runCase(device, one);
      want.forEach((words, i) => {
        const at = words.findIndex((word, j) => word !== got[i][j]);
        expect(at, `${caseKey(one)}: first different word of ${labels[i][0]}`).toBe(-1);
      });
    }
  }

  for (const kernel of kernelNames) {
    test(kernel, { timeout: 300_000 }, () => compare(gpu, kernel));
  }

  // wgpu over llvmpipe takes this layout in every run of the tests.
  test("matmul as it is laid out on hardware", { timeout: 300_000 }, async ({ skip }) => {
    if (!all) skip(NOT_ASKED);
    const compiled: string[] = [];
    const edit = (_: KernelName, wgsl: string) => compiled[compiled.push(wgsl) - 1];
    const hardware = new GpuDevice(gpu.gpu, { software: false, edit });
    await compare(hardware, "matmul");
    hardware.close();
    // Both tiles, both precisions; on this adapter the device itself would have taken the other text.
    expect(compiled.length).toBe(4);
    for (const text of compiled) expect(text).toContain("var<workgroup>");
  });

  test("windows of large buffers", { timeout: 120_000 }, async () => {
    const windowed = new GpuDevice(gpu.gpu, { maxBinding: WINDOW_WORDS * 4 });
    for (const one of windowCases) {
      const want = await runCase(wasm, one);
      const got = await runCase(windowed, one);
      want.forEach((words, i) => {
        const at = words.findIndex((word, j) => word !== got[i][j]);
        expect(at, `${caseKey(one)}: first different word of output ${i}`).toBe(-1);
      });
    }
    windowed.close();
  });

  test("the probe passes: doctor finds this adapter, knows it for software, and calls it exact", {
    timeout: 120_000,
  }, async () => {
    expect(await examine(async () => new GpuDevice(gpu.gpu))).toContainEqual({
      name: expect.stringMatching(/swiftshader/i),
      software: true,
      exact: true,
      failed: [],
    });
    await expect(openGpu({ adapter: "no such adapter" })).rejects.toThrow(/there is: .*swiftshader/i);
    await expect(openGpu()).rejects.toThrow(/no hardware adapter/);
  });

  // Each changes one order of operations or leaves one rounding out; nothing that a tolerance would notice.
  const changes: [KernelName, string, string][] = [
    [
      "rmsnorm_fwd",
      "times(times(flush(x[base + i], TINY), s), w[i])",
      "times(flush(x[base + i], TINY), times(s, w[i]))",
    ],
    ["sumsq", "for (var half = 32u; half > 0u; half >>= 1u)", "for (var half = 1u; half < 64u; half <<= 1u)"],
    ["adamw", "times(times(mm, params.c1), rcp1(root))", "times(mm, times(params.c1, rcp1(root)))"],
    ["matmul", "let x = round12x4(v);", "let x = v;"],
    ["attention_fwd", "putWeights(2u * lane, e0);", "putWeights(2u * lane, e0 * (1.0 + 0.000001));"],
    [
      "logprob_fwd",
      "minus(minus(z[row + targets[at]], s.m), s.logl)",
      "minus(z[row + targets[at]], plus(s.m, s.logl))",
    ],
  ];
  test.each(changes)("the probe catches a changed %s and names it", { timeout: 120_000 }, async (kernel, from, to) => {
    let changed = 0;
    const edited = new GpuDevice(gpu.gpu, {
      edit(name, wgsl) {
        if (name !== kernel) return wgsl;
        if (!wgsl.includes(from)) throw new Error(`${kernel} no longer has ${from}`);
        changed++;
        return wgsl.replace(from, to);
      },
    });
    expect(await probe(edited)).toEqual({ exact: false, failed: [kernel] });
    expect(changed).toBeGreaterThan(0);
    edited.close();
  });
});
