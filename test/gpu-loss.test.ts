/**
 * Devices that are lost in mid-run: the run goes on by itself and ends with the digest, files and events of an undisturbed
 * one. Most losses happen to a WASM device that stands for a GPU; one to a real GPUDevice.
 */
import { beforeAll, describe, expect, test } from "vitest";
import type { TrainHooks } from "../core/api.ts";
import { parseConfig } from "../core/config.ts";
import type { Device } from "../core/device.ts";
import { CohortError } from "../core/errors.ts";
import { type StepMetrics, timeKeys } from "../core/log.ts";
import { memoryStorage } from "../core/storage.ts";
import type { CpuDevice } from "../hosts/cpu.ts";
import { type Opened, openDevice, type Reach } from "../hosts/device.ts";
import { builtInTask, makeEngine } from "../hosts/engine.ts";
import type { GpuDevice } from "../hosts/gpu.ts";
import { cpu } from "./support/devices.ts";
import { softwareAdapter, softwareGpu } from "./support/gpu.ts";

const adapter = await softwareAdapter();

const base = {
  task: { name: "sort", length: 3, shaping: 0.5 },
  model: { config: { hiddenSize: 16, layers: 1, heads: 2, kvHeads: 1, headDim: 8, intermediateSize: 24 } },
  warmStart: { steps: 2, batch: 4, learningRate: 0.003 },
  promptsPerStep: 2,
  rolloutsPerPrompt: 4,
  maxTokens: 4,
  steps: 5,
  params: { beta: 0.1 },
  evalEvery: 2,
  evalPrompts: 2,
  evalSamples: 2,
  checkpointEvery: 2,
  out: "run",
  seed: 3,
};

interface Breakable extends Device {
  fault: string | null;
}

/** WASM under a GPU's name, that fails in everything once it has a fault. */
async function breakable(): Promise<Breakable> {
  const device = await cpu(1);
  let fault: string | null = null;
  return new Proxy(device, {
    get(target, key) {
      if (key === "kind") return "webgpu";
      if (key === "name") return "a GPU";
      if (key === "fault") return fault;
      const value = Reflect.get(target, key);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        if (fault && key !== "free" && key !== "close") throw new CohortError("device", `${String(key)}: ${fault}`, "");
        return value.apply(target, args);
      };
    },
    set(_, key, value) {
      if (key !== "fault") return false;
      fault = value;
      return true;
    },
  }) as unknown as Breakable;
}

/** A whole run; `disturb` may break the device that is open. */
async function runOn(opened: Opened, disturb: TrainHooks = {}, change: object = {}) {
  const storage = memoryStorage();
  const engine = makeEngine({ ...opened, storage, clock: () => 0, taskSource: builtInTask });
  const events: string[] = [];
  const notes: string[] = [];
  try {
    const result = await engine.train(parseConfig({ ...base, ...change }), {
      beforeStep: disturb.beforeStep,
      onStart: (info) => void events.push(`start ${info.parameters}`),
      onWarmStart(progress) {
        events.push(`warm ${JSON.stringify(progress)}`);
        disturb.onWarmStart?.(progress);
      },
      onStep(metrics) {
        events.push(`step ${metrics.step}: ${metrics.digest}`);
        disturb.onStep?.(metrics);
      },
      onEval(when, evaluation) {
        events.push(`eval ${when}: ${JSON.stringify(evaluation)}`);
        disturb.onEval?.(when, evaluation);
      },
      onNote: (text) => void (/with the same bits$/.test(text) ? notes : events).push(text),
    });
    const text = async (name: string) =>
      (await storage.exists(`run/${name}`)) ? new TextDecoder().decode(await storage.read(`run/${name}`)) : "";
    const metrics = (await text("metrics.jsonl"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as StepMetrics)
      .map((line) => Object.fromEntries(Object.entries(line).filter(([key]) => !timeKeys.includes(key))));
    const files = [await text("samples.jsonl"), await text("evaluations.jsonl"), await storage.list("run/checkpoints")];
    return { bits: { ...result, seconds: 0, metrics, files, events }, notes, device: engine.runtime!.device.name };
  } finally {
    await engine.close();
  }
}

const run = async (
  reach: Reach,
  disturb: TrainHooks = {},
  change: object = {},
  backend: "wasm" | "webgpu" = "webgpu",
) => runOn(await openDevice({ backend, threads: 1 }, reach), disturb, change);

type Run = Awaited<ReturnType<typeof run>>;
let calm: Run;
beforeAll(async () => {
  calm = await run({ cores: 1 }, {}, {}, "wasm");
});

describe("a device lost in mid-run, on WASM that stands for a GPU", () => {
  let devices: Breakable[] = [];
  const reach = (most = 99): Reach => {
    devices = [];
    return {
      cores: 1,
      async openGpu() {
        if (devices.length === most) throw new CohortError("device", "webgpu: no adapter is left", "");
        devices.push(await breakable());
        return devices.at(-1)!;
      },
    };
  };
  const lose = () => {
    devices.at(-1)!.fault = "the GPU device was lost (test)";
  };

  test("after a checkpoint: from there, on the device opened again", async () => {
    const { bits, notes, device } = await run(reach(), { onStep: ({ step }) => void (step === 3 && lose()) });
    expect(bits).toEqual(calm.bits);
    expect(notes).toEqual([
      "the GPU device was lost (test); the run goes on after step 2 on a GPU, with the same bits",
    ]);
    expect([devices.length, device]).toEqual([2, "a GPU"]);
  });

  test("before the first checkpoint, in the warm start, while an evaluation was written: from the start", async () => {
    for (const disturb of [
      { onWarmStart: ({ step }: { step: number }) => void (step === 1 && devices.length === 1 && lose()) },
      { onEval: (when: unknown) => void (when === "before" && devices.length === 1 && lose()) },
      { onStep: ({ step }: StepMetrics) => void (step === 1 && lose()) },
    ]) {
      const { bits, notes } = await run(reach(), disturb);
      expect(bits).toEqual(calm.bits);
      expect(notes).toEqual(["the GPU device was lost (test); the run begins again on a GPU, with the same bits"]);
    }
  });

  test("no other adapter: WASM goes on", async () => {
    const { bits, notes, device } = await run(reach(1), { onStep: ({ step }) => void (step === 4 && lose()) });
    expect(bits).toEqual(calm.bits);
    expect(notes).toEqual([
      expect.stringMatching(/^the GPU device was lost \(test\); the run goes on after step 2 on WASM.* bits$/),
    ]);
    expect(device).toMatch(/^WASM/);
  });

  test("an adapter that loses every device: opened three times, then WASM", async () => {
    const { bits, notes, device } = await run(reach(), { beforeStep: (step) => void (step === 3 && lose()) });
    expect(bits).toEqual(calm.bits);
    expect(devices.length).toBe(3);
    expect(notes.length).toBe(3);
    expect(device).toMatch(/^WASM/);
  });

  test("an error that is not the device's is not tried again", async () => {
    const wrong = run(reach(), {
      beforeStep() {
        throw new CohortError("bad-reward", "no judge today");
      },
    });
    await expect(wrong).rejects.toThrow("no judge today");
    expect(devices.length).toBe(1);
  });
});

describe.skipIf(!adapter)(`a GPUDevice destroyed in mid-run${adapter ? "" : " (skipped: no SwiftShader)"}`, () => {
  test("another one goes on, and WASM after it", { timeout: 120_000 }, async () => {
    const change = { warmStart: null, params: {}, evalPrompts: 0, steps: 4, checkpointEvery: 1 };
    const undisturbed = await run({ cores: 1 }, {}, change, "wasm");
    const opened: GpuDevice[] = [];
    const rest = (numeric: CpuDevice) => ({
      numeric,
      threads: 1,
      doctor: async () => ({ adapters: [], auto: "wasm" }),
      close() {
        opened.at(-1)!.close();
        numeric.close();
      },
    });
    const open = async (): Promise<Opened> => {
      const numeric = await cpu(1);
      if (opened.length === 2) return { ...rest(numeric), device: numeric };
      const device = (await softwareGpu())!;
      opened.push(device);
      return { ...rest(numeric), device, reopen: open };
    };
    const found = await runOn(
      await open(),
      { onStep: ({ step }) => void (step > 1 && step < 4 && opened.at(-1)!.gpu.destroy()) },
      change,
    );
    expect(found.bits).toEqual(undisturbed.bits);
    expect(found.notes).toEqual([
      expect.stringMatching(
        /^the GPU device was lost \(destroyed.*the run goes on after step 1 on WebGPU, SwiftShader/,
      ),
      expect.stringMatching(/^the GPU device was lost \(destroyed.*the run goes on after step 2 on WASM/),
    ]);
    expect(found.device).toMatch(/^WASM/);
  });
});
