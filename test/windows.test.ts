/**
 * Calls on buffers larger than what an adapter binds at once are cut in windows (what they compute: test/gpu-kernels.test.ts);
 * a kernel that needs a buffer whole says so.
 */
import { expect, test } from "vitest";
import type { ConformanceCase } from "../core/conformance.ts";
import { type KernelName, kernels } from "../core/kernels.ts";
import { windowedKernels, windowsOf } from "../core/windows.ts";
import { WINDOW_WORDS, windowCases } from "./support/windows.ts";

const ALIGN = 64;

function cut({ kernel, buffers, dims }: ConformanceCase) {
  const { buffers: row, dims: names } = kernels[kernel];
  const windows = Object.fromEntries(
    Object.keys(row).map((label, i) => [label, { offset: 0, words: buffers[i].length }]),
  );
  const named = Object.fromEntries(names.map((name, i) => [name, dims[i]]));
  return windowsOf(kernel, { dims: named, windows, first: 0 }, WINDOW_WORDS, ALIGN);
}

test("every kernel that may be cut has a case that is; windows fit, are aligned and stay inside", () => {
  const seen = new Set<KernelName>();
  for (const one of windowCases) {
    const calls = cut(one);
    if (typeof calls === "string") throw new Error(`${one.kernel} ${one.name}: ${calls} is not cut`);
    expect(calls.length).toBeGreaterThan(1);
    seen.add(one.kernel);
    for (const { windows } of calls) {
      Object.values(windows).forEach(({ offset, words }, i) => {
        expect(words).toBeLessThanOrEqual(WINDOW_WORDS);
        expect(offset % ALIGN).toBe(0);
        expect(offset + words).toBeLessThanOrEqual(one.buffers[i].length);
      });
    }
  }
  expect(seen).toEqual(new Set(windowedKernels));
});

test("a kernel that is not cut names the buffer that is too large", () => {
  const whole = (words: number) => ({ offset: 0, words });
  const labels = Object.keys(kernels.attention_fwd.buffers);
  const windows = Object.fromEntries(labels.map((label) => [label, whole(label === "k" ? 5000 : 8)]));
  expect(windowsOf("attention_fwd", { dims: {}, windows, first: 0 }, WINDOW_WORDS, ALIGN)).toBe("k");
  // One row alone is more than a binding.
  const row = { out: whole(9000), x: whole(9000), index: whole(1) };
  const dims = { rows: 1, width: 9000, offset: 0 };
  expect(windowsOf("gather_rows", { dims, windows: row, first: 0 }, WINDOW_WORDS, ALIGN)).toBe("out");
});
