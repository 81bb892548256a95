/** A teacher: another model as reference policy. The student comes to agree with it; models of other tokens are refused. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseConfig } from "../core/config.ts";
import type { StepMetrics } from "../core/log.ts";
import { saveModel } from "../core/model/load.ts";
import { memoryStorage } from "../core/storage.ts";
import { openModel, train } from "../core/train.ts";
import type { CpuDevice } from "../hosts/cpu.ts";
import { coin, tiny } from "./support/coin.ts";
import { cpu } from "./support/devices.ts";

let device: CpuDevice;
beforeAll(async () => {
  device = await cpu(1);
});
afterAll(() => device.close());

/** Files with a model of `changes` in "teacher". */
async function withTeacher(changes: Record<string, unknown>) {
  const storage = memoryStorage();
  const runtime = { device, numeric: device, storage, clock: () => 0, threads: 1 };
  const loaded = await openModel(parseConfig({ ...tiny, seed: 2, ...changes }), coin, runtime);
  await saveModel(loaded, storage, "teacher");
  loaded.model.close();
  return runtime;
}

const larger = { model: { ...tiny.model, config: { ...tiny.model.config, hiddenSize: 16, layers: 2 } } };

test("on-policy distillation brings the student to the teacher, whatever its size", async () => {
  const runtime = await withTeacher(larger);
  const config = parseConfig({
    ...tiny,
    recipe: "opd-reverse-kl",
    reference: "./teacher",
    promptsPerStep: 16,
    epochsPerBatch: 1,
    steps: 30,
    learningRate: 0.02,
    out: "run",
  });
  const lines: StepMetrics[] = [];
  await train(config, coin, runtime, { onStep: (m) => lines.push(m) });
  const last = lines.slice(-5).reduce((sum, m) => sum + m.kl! / 5, 0);
  expect(lines[0].kl).toBeGreaterThan(1);
  expect(last).toBeLessThan(lines[0].kl! / 2);
  // The teacher stays where it was: no copy of it in the run folder.
  expect(await runtime.storage.exists("run/reference")).toBe(false);
});

test("refused: no teacher, one of other tokens, one that is no model", async () => {
  const run = async (changes: Record<string, unknown>, given: Record<string, unknown>) => {
    const config = parseConfig({ ...tiny, recipe: "iw-opd", steps: 1, out: "run", ...given });
    return train(config, coin, await withTeacher(changes));
  };
  const there = { reference: "./teacher" };
  await expect(run({}, {})).rejects.toThrow(/iw-opd learns from a teacher, and reference is auto — .*"reference": DIR/);
  const fewer = { model: { ...tiny.model, alphabet: "abcd>" } };
  await expect(run(fewer, there)).rejects.toThrow(/a vocabulary of 8 tokens, the trained model's has 12/);
  const turned = { model: { ...tiny.model, alphabet: "hgfedcba>" } };
  await expect(run(turned, there)).rejects.toThrow(
    /token \d+ is "h", the trained model's is "a" — give a model of the same/,
  );
  await expect(run({}, { reference: "./elsewhere" })).rejects.toThrow(/elsewhere/);
  expect(() => parseConfig({ reference: "copi" })).toThrow(
    /reference is "copi", want "copy", or a directory as in "\.\/copi"/,
  );
});
