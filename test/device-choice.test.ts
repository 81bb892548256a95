/** Which device an engine gets, and the one line that says what is missing and what is used instead, or how to get it. */
import { afterEach, describe, expect, test, vi } from "vitest";
import type { DeviceOptions } from "../core/api.ts";
import { parseConfig } from "../core/config.ts";
import type { Device } from "../core/device.ts";
import { CohortError } from "../core/errors.ts";
import { type KernelName, kernels } from "../core/kernels.ts";
import { memoryStorage } from "../core/storage.ts";
import { adaptersOf, examineAll } from "../hosts/adapters.ts";
import type { Io } from "../hosts/cli/command.ts";
import { main } from "../hosts/cli/main.ts";
import { openDevice, type Reach } from "../hosts/device.ts";
import { builtInTask, makeEngine } from "../hosts/engine.ts";
import { GpuDevice } from "../hosts/gpu.ts";
import { examineWebGpu, openWebGpu } from "../hosts/web-gpu.ts";
import { cpu } from "./support/devices.ts";

/** WASM under a GPU's name; it scales a little too far where it is not exact. */
async function pretended(exact: boolean): Promise<Device> {
  const device = await cpu(1);
  return new Proxy(device, {
    get(target, key) {
      if (key === "kind") return "webgpu";
      if (key === "name") return "WebGPU, Test";
      if (key === "run" && !exact) {
        return (kernel: never, ...args: never[]) => {
          if (kernel === "scale") args[args.length - 1] = ((args.at(-1) as unknown as number) * 1.000001) as never;
          target.run(kernel, ...args);
        };
      }
      const value = Reflect.get(target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  }) as unknown as Device;
}

const reachOf = (openGpu: Reach["openGpu"], likely = true): Reach => ({
  cores: 1,
  openGpu,
  likelyGpu: async () => likely,
});
const refusing = async () => {
  throw new CohortError("device", "webgpu: Test refuses a device: too old", "use backend wasm");
};

async function oneLine(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => null,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(CohortError);
  const { message } = error as CohortError;
  expect(message).not.toContain("\n");
  expect(message).toContain(" — ");
  return message;
}

describe("auto", () => {
  test("a hardware adapter that keeps the bits is taken", async () => {
    const opened = await openDevice(
      {},
      reachOf(() => pretended(true)),
    );
    expect([opened.device.name, opened.note]).toEqual(["WebGPU, Test", undefined]);
    await opened.close();
  });

  test("no hardware adapter: WASM, and nothing to say", async () => {
    const opened = await openDevice({}, reachOf(refusing, false));
    expect([opened.device.kind, opened.note]).toEqual(["wasm", undefined]);
    expect((await opened.doctor()).notes?.["because"]).toBe("there is no hardware adapter");
    await opened.close();
  });

  test.each([
    ["breaks the rules", () => pretended(false), "WebGPU, Test breaks the exactness rules in scale"],
    ["refuses a device", refusing, "webgpu: Test refuses a device: too old"],
  ] as const)("an adapter that %s: WASM, said in a line when a run starts", async (_, openGpu, why) => {
    const opened = await openDevice({ threads: 1 }, reachOf(openGpu));
    const engine = makeEngine({ ...opened, storage: memoryStorage(), clock: () => 0, taskSource: builtInTask });
    const notes: string[] = [];
    const sizes = { hiddenSize: 8, layers: 1, heads: 1, kvHeads: 1, headDim: 8, intermediateSize: 8 };
    const config = { model: { config: sizes }, promptsPerStep: 1, rolloutsPerPrompt: 2, maxTokens: 2, steps: 1 };
    await engine.train(parseConfig({ ...config, evalPrompts: 0, out: "run" }), { onNote: (text) => notes.push(text) });
    expect(notes[0]).toBe(`${why}; WASM is used instead`);
    expect((await engine.doctor()).auto).toBe("wasm");
    await engine.close();
  });
});

describe("backend webgpu", () => {
  test("a host without it, an adapter that breaks the rules, one that refuses: refused in a line", async () => {
    const ask = (reach: Reach) => oneLine(openDevice({ backend: "webgpu" }, reach));
    expect(await ask({ cores: 1 })).toBe("backend webgpu: this host has none — use backend wasm");
    expect(await ask(reachOf(() => pretended(false)))).toMatch(
      /^backend webgpu: WebGPU, Test breaks the exactness rules in scale — use backend wasm, or precision "fast"/,
    );
    expect(await ask(reachOf(refusing))).toBe("webgpu: Test refuses a device: too old — use backend wasm");
  });

  test("conformance runs on the adapter that the probe refuses, and tells where it differs; a run on it is refused", async () => {
    const openGpu = () => pretended(false);
    const wanted = { backend: "webgpu", adapter: "WebGPU, Test" } as const;
    expect(await oneLine(openDevice(wanted, reachOf(openGpu)))).toContain(
      '`cohort conformance --backend webgpu --adapter "WebGPU, Test"` shows the cases',
    );
    let [out, err] = ["", ""];
    const closed: Device[] = [];
    const io = {
      out: (text: string) => (out += text),
      err: (text: string) => (err += text),
      runtime: "a test",
      async engine(options: DeviceOptions) {
        const opened = await openDevice(options, reachOf(openGpu));
        const close = () => {
          closed.push(opened.device);
          return opened.close();
        };
        const parts = { ...opened, close, storage: memoryStorage(), clock: () => 0, taskSource: builtInTask };
        const engine = makeEngine(parts);
        for (const precision of closed.length === 0 ? ([12, 24] as const) : []) {
          const config = parseConfig({ precision, out: "run" });
          expect(await oneLine(engine.train(config, {}))).toMatch(
            /^backend webgpu: .* breaks the exactness rules in scale/,
          );
        }
        return engine;
      },
    } as unknown as Io;
    const asked = ["conformance", "--backend", "webgpu", "--adapter", "Test"];
    expect(await main([...asked, "--details"], io), err).toBe(1);
    expect(out).toMatch(/^scale .* 2 differ$/m);
    expect(out).toMatch(/^add .* exact$/m);
    // The factor is a millionth too large: some last places.
    const [, index, got, right] =
      /^differs: scale: n 67\n {2}x: \d+ of 67 elements differ\n {4}\[(\d+)\] (\w{8}), wanted (\w{8})$/m.exec(out)!;
    expect(Number(index)).toBeLessThan(67);
    expect(Math.abs(Number(`0x${got}`) - Number(`0x${right}`))).toBeLessThan(32);
    expect(got).not.toBe(right);
    expect(closed).toHaveLength(1);
    out = "";
    expect(await main([...asked, "--json"], io)).toBe(1);
    const rows = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(rows.at(-1)).toMatchObject({ done: true, exact: false, device: "WebGPU, Test" });
    const scale = rows.find(({ kernel }) => kernel === "scale");
    expect(scale.differences.map((d: { case: string }) => d.case)).toEqual(scale.failed);
    const second = scale.differences.find((d: { case: string }) => d.case === "n 67");
    expect(second).toMatchObject({ buffer: "x", length: 67 });
    expect(second.first[0]).toEqual({ index: Number(index), got, wanted: right });
    for (const row of rows.slice(0, -1)) expect("differences" in row).toBe(row.kernel === "scale");
  });

  test('precision "fast" without a GPU is refused; features that are missing are named', async () => {
    expect(await oneLine(openDevice({ backend: "wasm", precision: "fast" }, { cores: 1 }))).toMatch(/needs a GPU/);
    const lacking = async () => Object.assign(await pretended(true), { missing: ["shader-f16"] });
    const opened = await openDevice({ backend: "webgpu", precision: "fast" }, reachOf(lacking));
    expect(opened.note).toBe("WebGPU, Test has no shader-f16: fast kernels do without");
    await opened.close();
  });

  test("an adapter that gives no device", async () => {
    const adapter = {
      info: { device: "Test" },
      limits: {},
      features: new Set(),
      requestDevice: () => Promise.reject(new TypeError("a feature is unknown\nand more")),
    } as unknown as GPUAdapter;
    expect(await oneLine(GpuDevice.create(adapter))).toBe(
      "webgpu: Test refuses a device: a feature is unknown — use backend wasm, or another adapter",
    );
  });
});

test("attention of precision 24 is probed when it is first asked for", async () => {
  const device = await cpu(1);
  let wide = 0;
  const wrong = new Proxy(device, {
    get(target, key) {
      if (key === "kind") return "webgpu";
      if (key === "run") {
        return (kernel: KernelName, ...args: never[]) => {
          const at = kernels[kernel].dims.indexOf("precision");
          const double =
            kernel.startsWith("attention") && args[Object.keys(kernels[kernel].buffers).length + at] === 24;
          if (double) wide++;
          target.run(kernel, ...args);
          if (double) target.run("scale", args[0], 1, 2);
        };
      }
      const value = Reflect.get(target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  }) as unknown as Device;
  const opened = await openDevice(
    { backend: "webgpu" },
    reachOf(async () => wrong),
  );
  await opened.allow!(12);
  expect(wide).toBe(0);
  expect(await oneLine(opened.allow!(24))).toMatch(/breaks the exactness rules in attention_fwd, attention_bwd — /);
  expect(wide).toBeGreaterThan(0);
  const asked = openDevice(
    { backend: "webgpu", precision: 24 },
    reachOf(async () => wrong),
  );
  expect(await oneLine(asked)).toMatch(/breaks the exactness rules in attention_fwd, attention_bwd/);
  await opened.close();
});

test("doctor lists each adapter once, hardware first, with what the probe finds", async () => {
  const adapter = (device: string) => ({ info: { device }, limits: {}, features: new Set() }) as unknown as GPUAdapter;
  const asked: unknown[] = [];
  const gpu = {
    async requestAdapter(options: GPURequestAdapterOptions) {
      asked.push(options);
      if (options.forceFallbackAdapter) return adapter("llvmpipe 15");
      return options.powerPreference === "low-power" ? Promise.reject(new Error("no")) : adapter("Test 3");
    },
  } as unknown as GPU;
  const found = await adaptersOf({ requestAdapter: async () => adapter("Test 3") } as unknown as GPU);
  expect(found).toHaveLength(1);
  const open = async ({ info }: GPUAdapter) => (await pretended(info.device === "Test 3")) as GpuDevice;
  expect(await examineAll(await adaptersOf(gpu), open)).toEqual([
    { name: "Test 3", software: false, exact: true, failed: [] },
    { name: "llvmpipe 15", software: true, exact: false, failed: ["scale"] },
  ]);
  expect(asked).toHaveLength(3);
  expect(await examineWebGpu()).toEqual([]);
});

describe("where navigator has WebGPU", () => {
  afterEach(() => vi.unstubAllGlobals());
  const other = { info: { device: "Test" } };
  test.each([
    ["a browser without it", {}, false, /this browser has no WebGPU, or the page is not served securely — use https/],
    ["a Deno that needs a flag", {}, true, /Deno's WebGPU is off — run it with --unstable-webgpu, or use backend wasm/],
    ["no adapter", { requestAdapter: async () => null }, false, /no adapter for it — use backend wasm/],
    ["a refusal", { requestAdapter: () => Promise.reject(new Error("no")) }, false, /no adapter for it — use/],
    ["another adapter", { requestAdapter: async () => other }, false, /here is "Test", not "other" — leave --adapter/],
  ] as [string, { requestAdapter?(): Promise<unknown> }, boolean, RegExp][])("%s", async (_, gpu, deno, message) => {
    vi.stubGlobal("navigator", gpu.requestAdapter ? { gpu } : {});
    if (deno) vi.stubGlobal("Deno", {});
    expect(await oneLine(openWebGpu({ adapter: "other" }))).toMatch(message);
  });
});
