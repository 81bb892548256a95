/** A reference policy that follows the policy: where it is after moves, what stops and resumes, what is refused. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseConfig } from "../core/config.ts";
import { memoryStorage } from "../core/storage.ts";
import { MovingWeights } from "../core/train/moving.ts";
import { Trainer, train } from "../core/train.ts";
import type { CpuDevice } from "../hosts/cpu.ts";
import { coin, tiny } from "./support/coin.ts";
import { cpu } from "./support/devices.ts";
import { smallModel } from "./support/models.ts";

let device: CpuDevice;
beforeAll(async () => {
  device = await cpu(1);
});
afterAll(() => device.close());

const runtime = (storage = memoryStorage()) => ({ device, numeric: device, storage, clock: () => 0, threads: 1 });
const config = (params: object, options: string[], more: object = {}) =>
  parseConfig({
    ...tiny,
    out: "run",
    epochsPerBatch: 1,
    steps: 6,
    kl: "k3",
    params: { beta: 0.1, ...params },
    options,
    ...more,
  });

async function klOf(params: object, options: string[]): Promise<(number | null)[]> {
  const kl: (number | null)[] = [];
  await train(config(params, options), coin, runtime(), { onStep: (m) => kl.push(m.kl ?? null) });
  return kl;
}

test("a reference that is the policy after every second step is 0 away from it there, and nowhere else after the first", async () => {
  const kl = await klOf({ alpha: 1, every: 2 }, ["ref-model-sync"]);
  expect(kl.map((x) => x === 0)).toEqual([true, false, true, false, true, false]);
  const frozen = await klOf({}, []);
  expect(frozen.map((x) => x === 0)).toEqual([true, false, false, false, false, false]);
});

test.each([
  ["ref-model-sync", { alpha: 0.5, every: 2 }],
  ["bema-reference", { update_freq: 2 }],
] as const)("%s: a stopped run goes on bit for bit", async (option, params) => {
  const whole = await train(config(params, [option]), coin, runtime());
  const storage = memoryStorage();
  const stop = new AbortController();
  const once = { signal: stop.signal, onStep: (m: { step: number }) => m.step === 3 && stop.abort() };
  await train(config(params, [option]), coin, runtime(storage), once);
  const resumed = await train(config(params, [option], { resume: true }), coin, runtime(storage));
  expect(resumed.digest).toBe(whole.digest);
  expect((await train(config({}, []), coin, runtime())).digest).not.toBe(whole.digest);
});

test("moves are sums in the order given, each in f32", async () => {
  const [policy, reference] = [smallModel(device, "qwen3", 12), smallModel(device, "qwen3", 12, { layers: 2 })];
  const name = "model.norm.weight";
  const write = (x: number) => device.write(policy.parameters.get(name)!.value, new Float32Array(12).fill(x));
  const read = async () => (await device.readF32(reference.parameters.get(name)!.value))[0];
  device.write(reference.parameters.get(name)!.value, new Float32Array(12).fill(1));
  const weights = new MovingWeights(device, policy.parameters, reference.parameters, ["start"]);
  write(3);
  weights.move([["reference", { reference: 0.75, policy: 0.25 }]]);
  expect(await read()).toBe(1.5);
  weights.move([
    ["reference", { policy: 2 }],
    ["reference", { reference: 1, start: -1 }],
  ]);
  expect(await read()).toBe(5);
  expect(() => weights.move([["reference", { nobody: 1 }]])).toThrow(/nobody.*keeps/);
  weights.close();
  policy.close();
  reference.close();
});

test("refused: adapters, and a reference that is something else", async () => {
  const opened = (more: object) => Trainer.create(config({}, ["ref-model-sync"], more), coin, runtime());
  await expect(opened({ lora: { rank: 2 } })).rejects.toThrow(/moves the reference policy, and with lora/);
  await expect(opened({ reference: "none" })).rejects.toThrow(/moves the reference policy, and it is none/);
});
