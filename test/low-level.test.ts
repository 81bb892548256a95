/** The low level under wrong input: refused in words, before a kernel or a weight sees any of it. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Device } from "../core/device.ts";
import { CohortError } from "../core/errors.ts";
import { modelConfig } from "../core/model/config.ts";
import { type LoadOptions, newModel } from "../core/model/load.ts";
import type { OptimizerOptions } from "../core/model/optimizer.ts";
import { characterTokenizer } from "../core/model/tokenizer.ts";
import { generate } from "../core/rollout.ts";
import { Session } from "../core/session.ts";
import { memoryStorage } from "../core/storage.ts";
import type { CpuDevice } from "../hosts/cpu.ts";
import { createDevice } from "../hosts/node.ts";
import { cpu } from "./support/devices.ts";
import { softwareAdapter, softwareGpu } from "./support/gpu.ts";

const tokenizer = characterTokenizer("ab>\n");
const { vocabSize, eosIds } = tokenizer;
const sizes = { vocabSize, eosIds, hiddenSize: 8, layers: 1, heads: 1, kvHeads: 1, intermediateSize: 8 };
const config = modelConfig({ ...sizes, maxPositions: 8 });
const optimizer: OptimizerOptions = {
  learningRate: 0.01,
  schedule: "constant",
  warmupSteps: 0,
  weightDecay: 0,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  maxGradNorm: 1,
};

const open = (on: CpuDevice, options = optimizer) =>
  new Session(on, on, newModel(on, on, config, tokenizer, 0, { precision: 12 }), options);

let device: CpuDevice;
let session: Session;
beforeAll(async () => {
  device = await cpu(1);
  session = open(device);
});
afterAll(() => {
  session.close();
  device.close();
});

/** What `call` fails with, now or later; TypeErrors and their like fail the test. */
async function refusal(call: () => unknown): Promise<string> {
  try {
    await call();
  } catch (error) {
    expect(error).toBeInstanceOf(CohortError);
    expect(["bad-input", "bad-config"]).toContain((error as CohortError).code);
    return (error as Error).message;
  }
  return "nothing was refused";
}

const noGpu = (await softwareAdapter()) ? null : "no SwiftShader here";
const backends: [string, () => Promise<Device>][] = [
  ["WASM", () => cpu(1)],
  ["WebGPU", async () => (await softwareGpu())!],
];

describe.each(backends)("a device: %s", (name, make) => {
  const skip = name === "WebGPU" && noGpu;
  test.skipIf(skip)(
    `refuses kernels, numbers and buffers that are none${skip ? ` (skipped: ${skip})` : ""}`,
    async () => {
      const it = await make();
      const x = it.alloc(4, "x");
      const gone = it.alloc(4, "gone");
      it.free(gone);
      const foreign = device.alloc(4, "theirs");
      const data = Float32Array.of(1, 2, 3, 4);
      it.write(x, data);
      // biome-ignore lint/suspicious/noExplicitAny: wrong on purpose
      const any = it as any;
      const cases: [() => unknown, RegExp][] = [
        [() => any.run("matmal", x, x, 4), /^run: no kernel is called "matmal" — did you mean "matmul"\? All are in/],
        [() => any.run("ad", x, x, 4), /^run: no kernel is called "ad" — .*\badd\b/],
        [() => any.run("toString", x), /^run: no kernel is called "toString"/],
        [() => any.run(), /^run: no kernel is called not given/],
        [() => any.run("add", x, 4), /^run: kernel add: 2 arguments — give 3/],
        ...[-1, 1.5, Number.NaN, 2 ** 32, "4", undefined].map((n): [() => unknown, RegExp] => [
          () => any.run("add", x, x, n),
          /^run: kernel add: argument 2, the number n, is .* — give a whole number from 0 to 4294967295/,
        ]),
        [() => any.run("add", x, x, -1), /the number n, is -1 —/],
        [() => any.run("fill", x, 4, "0"), /the number value, is the text "0" — give a number/],
        [() => any.run("add", x, [1, 2], 2), /^run: kernel add: argument 1, the buffer x, is \[1,2\] — give a buffer/],
        [() => any.run("add", x, null, 2), /the buffer x, is null/],
        [() => any.run("add", x, 4, 4), /the buffer x, is 4/],
        [() => any.run("add", x, data, 4), /the buffer x, is a Float32Array/],
        [() => any.run("add", x, x, x), /the number n, is the buffer x/],
        [() => it.run("add", x, foreign, 4), /the buffer x, is theirs of another device — read it there/],
        [() => it.run("add", x, gone, 4), /gone was freed/],
        [() => it.write(foreign, data), /^write: the buffer is theirs of another device/],
        [() => it.readF32(foreign), /^read: the buffer is theirs of another device/],
        [() => it.free(foreign), /^free: the buffer is theirs of another device/],
        [() => any.readF32(), /^read: the buffer is not given/],
        [() => it.readF32(gone), /^read: buffer gone was freed/],
        [() => it.alloc(-1, "y"), /^alloc: -1 words for y — give a whole number of at least 0/],
        [() => it.alloc(1.5, "y"), /^alloc: 1\.5 words for y/],
        [() => it.alloc(Number.NaN, "y"), /^alloc: NaN words for y/],
        [() => any.write(x, new Float64Array(4)), /^write: the data is a Float64Array — give a Float32Array, a Uint/],
        [() => any.write(x, [1, 2, 3, 4]), /^write: the data is \[1,2,3,4\] — give a Float32Array/],
        [() => any.write(x), /^write: the data is not given/],
        [() => it.write(x, data, Number.NaN), /^write: words NaN … NaN of x, which has 4 — stay inside/],
        [() => it.readU32(x, 0.5, 1), /^read: words 0\.5 … 1\.5 of x/],
      ];
      const before = it.memory.used;
      for (const [call, message] of cases) expect(await refusal(call)).toMatch(message);
      expect(it.memory.used).toBe(before);
      it.run("scale", x, 4, 2);
      expect([...(await it.readF32(x))]).toEqual([2, 4, 6, 8]);
      device.free(foreign);
      it.close();
      const late = [() => it.alloc(1, "y"), () => it.write(x, data), () => it.readF32(x), () => it.readU32(x)];
      for (const call of [...late, () => it.run("add", x, x, 4)]) {
        await expect((async () => call())()).rejects.toThrow(/^(alloc|write|read|run): the device is closed — open/);
      }
      expect(() => newModel(it, device, config, tokenizer, 0, { precision: 12 })).toThrow(/the device is closed/);
    },
  );
});

test("createDevice refuses what it would not do", async () => {
  const refused: [unknown, RegExp][] = [
    [{ thread: 1 }, /^createDevice: thread is not an option — did you mean threads\?/],
    [{ threads: "2" }, /^createDevice: threads is the text "2" — give a whole number/],
    [{ backend: "webgpu" }, /backend "webgpu" is not for .* createEngine\(\{ backend: "webgpu" \}\)/],
    [{ adapter: "nvidia" }, /adapter "nvidia" is not for the WASM device/],
    [{ precision: "fast" }, /precision "fast" is not for the WASM device/],
    ["wasm", /^createDevice: got "wasm" — give an object/],
  ];
  for (const [options, message] of refused) {
    expect(await refusal(() => createDevice(options as never))).toMatch(message);
  }
  const plain = await createDevice({ threads: 1, backend: "wasm", precision: 24, probe: false });
  expect(plain.threads).toBe(1);
  plain.close();
});

test("newModel refuses a precision that there is not", async () => {
  const before = device.memory.used;
  const refused: [unknown, RegExp][] = [
    [{ precision: 13 }, /^newModel: precision is 13 — give 12 or 24/],
    [{ precision: "fast" }, /^newModel: precision is "fast" — give 12 or 24; fast kernels are the device's/],
    [{}, /^newModel: precision is not given/],
    [{ precision: 12, maxToken: 4 }, /^newModel: maxToken is not an option — did you mean maxTokens\?/],
    [{ precision: 12, maxTokens: 0 }, /^newModel: maxTokens is 0/],
    [undefined, /^newModel: got not given/],
  ];
  for (const [options, message] of refused) {
    const call = () => newModel(device, device, config, tokenizer, 0, options as LoadOptions);
    expect(await refusal(call)).toMatch(message);
  }
  const unseeded = () => newModel(device, device, config, tokenizer, Number.NaN, { precision: 12 });
  expect(await refusal(unseeded)).toMatch(/^newModel: seed is NaN — give a whole number from 0/);
  expect(device.memory.used).toBe(before);
});

test("an optimiser refuses options that would ruin the weights", async () => {
  const loaded = newModel(device, device, config, tokenizer, 0, { precision: 12 });
  const before = device.memory.used;
  const refused: [object, RegExp][] = [
    [{ learningRate: Number.NaN }, /^optimizer: learningRate is NaN — give a number of at least 0/],
    [{ learningRate: -1 }, /learningRate is -1/],
    [{ schedule: "cosin" }, /schedule is "cosin" — give "constant", "linear", "cosine"/],
    [{ warmupSteps: 0.5 }, /warmupSteps is 0\.5/],
    [{ weightDecay: -0.1 }, /weightDecay is -0\.1/],
    [{ beta1: 1 }, /beta1 is 1 — give a number from 0 to 0\.999999/],
    [{ beta2: Number.NaN }, /beta2 is NaN/],
    [{ epsilon: 0 }, /epsilon is 0/],
    [{ maxGradNorm: "1" }, /maxGradNorm is the text "1"/],
    [{ beta_1: 0.9 }, /beta_1 is not an option — did you mean beta1\?/],
  ];
  for (const [wrong, message] of refused) {
    const options = { ...optimizer, ...wrong } as OptimizerOptions;
    expect(await refusal(() => new Session(device, device, loaded, options))).toMatch(message);
    expect(
      await refusal(() => {
        session.optimizer.options = options;
      }),
    ).toMatch(message);
  }
  const alone = () => new Session(device, device, loaded, { learningRate: 0.1 } as OptimizerOptions);
  const noisy = () => new Session(device, device, loaded, optimizer, { start: Number.NaN, learningRate: 0 });
  expect(await refusal(noisy)).toMatch(/^noise: start is NaN/);
  expect(await refusal(alone)).toMatch(
    /no schedule, warmupSteps, weightDecay, beta1, beta2, epsilon, maxGradNorm among/,
  );
  expect(device.memory.used).toBe(before);
  loaded.model.close();
  for (const total of [undefined, 0, 1.5, Number.NaN]) {
    const failure = await refusal(() => session.optimStep(total as number));
    expect(failure).toMatch(/^optimStep: the total of steps is .* — give a whole number of at least 1/);
  }
  expect(session.optimizer.steps).toBe(0);
});

const sequence = { ids: [0, 1, 2], from: 1 };

test("forwardBackward refuses derivatives that are no finite numbers, and score what cannot be scored", async () => {
  // biome-ignore lint/suspicious/noExplicitAny: wrong on purpose
  const any = session as any;
  const train = (objective: unknown, options?: unknown) => any.forwardBackward([sequence], objective, options);
  const refused: [() => unknown, RegExp][] = [
    [() => train(undefined), /^forwardBackward: the objective is not given — give \{ dlogp \}/],
    [() => train({}), /^forwardBackward: dlogp is not given/],
    [() => train({ dlogP: [1, 1] }), /dlogP is not a derivative — did you mean dlogp\?/],
    [() => train({ dlogp: [1, Number.NaN] }), /^forwardBackward: dlogp\[1\] is NaN — give a finite f32 number/],
    [() => train({ dlogp: Float32Array.of(1, Infinity) }), /dlogp\[1\] is Infinity/],
    [() => train({ dlogp: [1, 1e39] }), /dlogp\[1\] is 1e\+39/],
    [() => train({ dlogp: ["x", 1] }), /dlogp\[0\] is "x"/],
    [() => train({ dlogp: [1, undefined] }), /dlogp\[1\] is not given/],
    [() => train({ dlogp: [1, null] }), /dlogp\[1\] is null/],
    [() => train({ dlogp: "12" }), /dlogp is the text "12"/],
    [() => train({ dlogp: [1] }), /dlogp has 1 numbers for 2 scored tokens/],
    [() => train({ dlogp: [1, 1], dentropy: [Number.NaN, 0] }), /dentropy\[0\] is NaN/],
    [() => train({ dlogp: [1, 1], dlogits: new Array(2 * vocabSize).fill(Number.NaN) }), /dlogits\[0\] is NaN/],
    [() => train({ dlogp: [1, 1] }, { microBatch: 2 }), /microBatch is not an option — did you mean microBatches\?/],
    [() => any.score([sequence], { sharePrompts: true }), /^score: sharePrompts is not an option/],
    [() => any.score([sequence], { microBatches: 0 }), /^score: microBatches is 0 — give a whole number of at least 1/],
    [() => train({ dlogp: [1, 1] }, { microBatches: 1.5 }), /microBatches is 1\.5/],
    [() => any.score([sequence], { temperature: 0 }), /^score: temperature is 0 — give a number above 0/],
    [() => any.logits([sequence], { temperature: -1 }), /^logits: temperature is -1/],
    [() => any.values([sequence], { microBatches: "2" }), /^values: microBatches is the text "2"/],
    [() => train({ dlogp: [1, 1] }, { temperature: Infinity }), /temperature is Infinity/],
    [() => any.score(), /^score: the sequences are not given/],
    [() => any.score([[97, 98]]), /^score: sequence 0 is \[97,98\] — give \{ ids, from \}/],
    [() => any.score([sequence, { from: 1 }]), /^score: sequence 1: ids is not given/],
    [() => any.score([{ ids: "ab", from: 1 }]), /sequence 0: ids is "ab" — give a list of token ids/],
    [() => any.score([{ ids: [0, 1], from: 3 }]), /^score: sequence 0: from is 3, with 2 ids — score from 1/],
    [() => any.score([{ ids: [0, 1], from: 0 }]), /from is 0, with 2 ids/],
    [() => any.score([{ ids: [0, 1] }]), /from is not given, with 2 ids/],
    [
      () => any.forwardBackwardValues([sequence], [1, Number.NaN]),
      /^forwardBackwardValues: the derivative\[1\] is NaN/,
    ],
  ];
  for (const [call, message] of refused) expect(await refusal(call)).toMatch(message);
  const rows = () => new Array(2 * vocabSize).fill(Number.NaN);
  expect(await refusal(() => open(device).forwardBackward([sequence], { dlogp: [1, 1], dlogits: rows }))).toMatch(
    /dlogits of rows from 0 on\[0\] is NaN/,
  );
});

test("sample refuses options, keys, counts and prompts that mean nothing", async () => {
  const options = { maxTokens: 2, temperature: 1, topK: 0, topP: 1, minP: 0 };
  const key = { seed: 0, stream: 3, step: 0 };
  const sample = (...[prompts, n, o, k]: unknown[]) =>
    session.sample(prompts as never, n as never, o as never, k as never);
  const refused: [() => unknown, RegExp][] = [
    [() => sample([[0]], 1, { ...options, temperature: -1 }, key), /^sample: temperature is -1 — give a number from 0/],
    [() => sample([[0]], 1, { ...options, topP: 2 }, key), /^sample: topP is 2/],
    [() => sample([[0]], 1, { ...options, maxTokens: 0 }, key), /^sample: maxTokens is 0/],
    ...["topK", "topP", "minP"].map((name): [() => unknown, RegExp] => [
      () => sample([[0]], 1, { ...options, [name]: undefined }, key),
      new RegExp(`^sample: ${name} is not given — give a`),
    ]),
    [() => sample([[0]], 1, "greedy", key), /^sample: (the options are|maxTokens is)/],
    [() => sample([[0]], 1.5, options, key), /^sample: perPrompt is 1\.5 — give a whole number/],
    [() => sample([[0]], [1, 1], options, key), /^sample: perPrompt has 2 numbers for 1 prompts/],
    [() => sample([[0]], [-1], options, key), /^sample: perPrompt\[0\] is -1/],
    [() => sample([[0]], 1, options), /^sample: the key is not given — give \{ seed, stream, step \}/],
    [() => sample([[0]], 1, options, { seed: 0, step: 0 }), /^sample: stream of the key is not given/],
    [() => sample(["ab>"], 1, options, key), /^sample: prompt 0 is "ab>" — give token ids: tokenizer\.encode/],
    [() => sample("ab>", 1, options, key), /^sample: the prompts are "ab>" — give a list of prompts/],
    [() => sample([0, 1], 1, options, key), /^sample: prompt 0 is 0 — give token ids/],
    [() => sample([[0, 99]], 1, options, key), /^sample: prompt 0, token 1: id 99 — ids run from 0 to/],
    [() => sample([[0.5]], 1, options, key), /^sample: prompt 0, token 0: id 0\.5/],
    [() => generate(session.model, [[0]], 1, undefined as never, key), /^sample: the options are not given/],
  ];
  for (const [call, message] of refused) expect(await refusal(call)).toMatch(message);
  expect(await sample([[0], [1]], [0, 2], options, key)).toHaveLength(2);
});

test("a closed session says so from every verb; closing twice is closing once", async () => {
  const own = open(device);
  const { logp } = await own.forwardBackward([sequence], { dlogp: [1, -1] });
  expect(logp).toHaveLength(2);
  const storage = memoryStorage();
  await own.saveState(storage, "state", {});
  own.close();
  const used = device.memory.used;
  own.close();
  expect(device.memory.used).toBe(used);
  const options = { maxTokens: 2, temperature: 1, topK: 0, topP: 1, minP: 0 };
  const calls: Record<string, () => Promise<unknown>> = {
    sample: () => own.sample([[0]], 1, options, { seed: 0, stream: 3, step: 0 }),
    score: () => own.score([sequence]),
    logits: () => own.logits([sequence]),
    forwardBackward: () => own.forwardBackward([sequence], { dlogp: [1, 1] }),
    gradientNorms: () => own.gradientNorms([sequence]),
    rewards: () => own.rewards([sequence]),
    values: () => own.values([sequence]),
    forwardBackwardRewards: () => own.forwardBackwardRewards([sequence], [1]),
    forwardBackwardValues: () => own.forwardBackwardValues([sequence], [1, 1]),
    optimStep: () => own.optimStep(1),
    digest: () => own.digest(),
    saveState: () => own.saveState(storage, "state", {}),
    loadState: () => own.loadState(storage, "state"),
  };
  for (const [verb, call] of Object.entries(calls)) {
    expect(await refusal(call)).toBe(`${verb}: the session is closed — make another one`);
  }
});
