/** The WebGPU device: order of reads and writes, memory, limits, loss. */
import { afterEach, describe, expect, test } from "vitest";
import { CohortError } from "../core/errors.ts";
import { probe } from "../core/probe.ts";
import type { GpuDevice } from "../hosts/gpu.ts";
import { cpu } from "./support/devices.ts";
import { softwareAdapter, softwareGpu } from "./support/gpu.ts";

const skip = (await softwareAdapter()) ? null : "no SwiftShader here";

describe("the probe on WASM", () => {
  test("calls the standard exact", async () => {
    const device = await cpu(1);
    expect(await probe(device)).toEqual({ exact: true, failed: [] });
    device.close();
  });
});

describe.skipIf(skip)(`WebGPU device${skip ? ` (skipped: ${skip})` : ""}`, () => {
  let device: GpuDevice | null = null;
  afterEach(() => {
    device?.close();
    device?.gpu.destroy();
    device = null;
  });

  test("writes, runs and reads happen in the order they were asked for", async () => {
    device = (await softwareGpu())!;
    const x = device.alloc(3, "x");
    const y = device.alloc(3, "y");
    device.write(x, Float32Array.of(1, 2, 3));
    device.run("copy", y, x, 3);
    device.write(x, Float32Array.of(10, 20, 30));
    device.run("add", y, x, 3);
    device.write(x, Float32Array.of(7), 1);
    const first = device.readF32(y);
    device.run("add", y, x, 3);
    expect([...(await first)]).toEqual([11, 22, 33]);
    expect([...(await device.readF32(y))]).toEqual([21, 29, 63]);
    expect([...(await device.readF32(x, 1, 1))]).toEqual([7]);
  });

  test("reads that are asked for together share a submit, and see nothing of what is written after", async () => {
    device = (await softwareGpu())!;
    const [x, y] = [device.alloc(2, "x"), device.alloc(2, "y")];
    device.write(x, Float32Array.of(1, 2));
    device.run("copy", y, x, 2);
    const { queue } = device.gpu;
    const submit = queue.submit.bind(queue);
    let submits = 0;
    queue.submit = (buffers) => {
      submits++;
      return submit(buffers);
    };
    const together = await Promise.all([device.readF32(x), device.readF32(y)]);
    expect(together.map((values) => [...values])).toEqual([
      [1, 2],
      [1, 2],
    ]);
    expect(submits).toBe(1);
    const before = device.readF32(x);
    device.write(x, Float32Array.of(3, 4));
    expect([...(await before)]).toEqual([1, 2]);
    const last = device.readF32(y);
    device.free(y);
    const reused = device.alloc(2, "z");
    device.write(reused, Float32Array.of(5, 6));
    expect([...(await last)]).toEqual([1, 2]);
  });

  test("more commands than a batch, in buffers used again and again", async () => {
    device = (await softwareGpu())!;
    const sum = device.alloc(5, "sum");
    device.run("fill", sum, 5, 0);
    for (let i = 1; i <= 400; i++) {
      const one = device.alloc(5, "one");
      device.run("fill", one, 5, i);
      device.run("add", sum, one, 5);
      device.free(one);
    }
    expect([...(await device.readF32(sum))]).toEqual(Array(5).fill(80200));
    expect(device.memory.peak).toBeLessThanOrEqual(256);
  });

  test("dispatches wider than the adapter allows are folded", async () => {
    device = (await softwareGpu())!;
    const n = 65535 * 64 + 1000;
    const x = device.alloc(n, "x");
    device.run("fill", x, n, 0.5);
    const tail = await device.readF32(x, n - 2000, 2000);
    expect(tail.every((v) => v === 0.5)).toBe(true);
  });

  test("a buffer beyond the adapter's limit is refused with its bytes", async () => {
    device = (await softwareGpu())!;
    const words = device.gpu.limits.maxBufferSize / 4 + 1;
    expect(() => device!.alloc(words, "a large tensor")).toThrow(`a large tensor takes ${words * 4} bytes`);
  });

  test("a buffer that a kernel needs whole and the adapter cannot bind is refused with its bytes", async () => {
    device = (await softwareGpu({ maxBinding: 2 ** 14 }))!;
    const q = device.alloc(5000, "q");
    const small = device.alloc(8, "small");
    expect(() => device!.run("attention_fwd", q, q, q, q, q, small, 1, 1, 1, 2, 9, 12, 1)).toThrow(
      /^kernel attention_fwd: out takes 20000 bytes, this adapter binds 16384 at once — use more microBatches/,
    );
  });

  test("freed buffers and wrong ranges are refused", async () => {
    device = (await softwareGpu())!;
    const x = device.alloc(4, "x");
    expect(() => device!.write(x, new Float32Array(5))).toThrow(/stay inside/);
    await expect(device.readF32(x, 3, 2)).rejects.toThrow(/stay inside/);
    device.free(x);
    expect(() => device!.free(x)).toThrow(/freed before/);
    expect(() => device!.run("fill", x, 4, 0)).toThrow(/was freed/);
  });

  test("a lost device refuses work by a CohortError, and another one starts", async () => {
    const lost = (await softwareGpu())!;
    const x = lost.alloc(4, "x");
    lost.run("fill", x, 4, 1);
    lost.gpu.destroy();
    const refusal = await lost.readF32(x).then(
      () => null,
      (error: unknown) => error,
    );
    expect(refusal).toBeInstanceOf(CohortError);
    expect((refusal as CohortError).code).toBe("device");
    expect(() => lost.run("fill", x, 4, 1)).toThrow(/lost/);
    lost.close();
    device = (await softwareGpu())!;
    const y = device.alloc(4, "y");
    device.run("fill", y, 4, 1);
    expect([...(await device.readF32(y))]).toEqual([1, 1, 1, 1]);
  });
});
