/** The elementary functions against float64: the error written above each in core/wasm/elementary.ts, and no more. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { CpuDevice } from "../hosts/cpu.ts";
import { cpu } from "./support/devices.ts";

let device: CpuDevice;
beforeAll(async () => {
  device = await cpu(1);
});
afterAll(() => device.close());

/** Largest distance to the true value in units of the last place of the f32 nearest to it. */
async function worst(which: number, x: Float32Array, truth: (x: number) => number, floor = 0): Promise<number> {
  const got = device.elementary(which, x);
  const unit = new Float32Array(1);
  const bits = new Uint32Array(unit.buffer);
  let most = 0;
  for (let i = 0; i < x.length; i++) {
    const want = truth(x[i]);
    unit[0] = Math.abs(want);
    const below = unit[0];
    bits[0]++;
    const ulp = Math.max(unit[0] - below, floor);
    most = Math.max(most, Math.abs(got[i] - want) / ulp);
  }
  return most;
}

/** n numbers from lo to hi, evenly in the bits where both are positive (all magnitudes alike), else evenly. */
function grid(lo: number, hi: number, n = 400_000): Float32Array {
  if (lo <= 0) return Float32Array.from({ length: n }, (_, i) => lo + ((hi - lo) * i) / (n - 1));
  const f = new Float32Array([lo, hi]);
  const u = new Uint32Array(f.buffer);
  const out = new Float32Array(n);
  const words = new Uint32Array(out.buffer);
  for (let i = 0; i < n; i++) words[i] = u[0] + Math.floor(((u[1] - u[0]) * i) / (n - 1));
  return out;
}

test("exp: 1.3 ulp on [−86, 88], 0 below, saturated above", async () => {
  expect(await worst(0, grid(-86, 88), Math.exp)).toBeLessThan(1.3);
  const [below, above, top, zero] = device.elementary(0, Float32Array.of(-87, 1e30, 88, 0));
  expect([below, above === top, zero]).toEqual([0, true, 1]);
});
test("log: 1 ulp, or 0.6e-7 near 1", async () => {
  expect(await worst(1, grid(2 ** -100, 2 ** 100), Math.log, 2 ** -24)).toBeLessThan(1);
  expect(await worst(1, grid(0.5, 2), Math.log, 2 ** -24)).toBeLessThan(1);
});
test("reciprocal: 1.3 ulp", async () => {
  expect(await worst(2, grid(2 ** -100, 2 ** 100), (x) => 1 / x)).toBeLessThan(1.3);
  expect(
    await worst(
      2,
      grid(2 ** -100, 2 ** 100).map((x) => -x),
      (x) => 1 / x,
    ),
  ).toBeLessThan(1.3);
});
test("reciprocal square root: 1.5 ulp", async () => {
  expect(await worst(3, grid(2 ** -100, 2 ** 100), (x) => 1 / Math.sqrt(x))).toBeLessThan(1.5);
});
test("square root: 1 ulp, √0 = 0", async () => {
  expect(await worst(4, grid(2 ** -100, 2 ** 100), Math.sqrt)).toBeLessThan(1);
  expect(device.elementary(4, new Float32Array(4))[0]).toBe(0);
});
test("sigmoid: 3 ulp on [−80, 80]", async () => {
  expect(await worst(5, grid(-80, 80), (x) => 1 / (1 + Math.exp(-x)))).toBeLessThan(3);
});
