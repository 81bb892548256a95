/**
 * A group's prompt computed once: the same scores to the bit, the same gradients but for rounding, whatever the shapes of
 * the model and however ragged the groups are.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Precision } from "../core/device.ts";
import { makeTrainable } from "../core/model/load.ts";
import { pack, placesByValue, type Sequence } from "../core/model/pack.ts";
import type { CpuDevice } from "../hosts/cpu.ts";
import { cpu } from "./support/devices.ts";
import { shapes, smallModel } from "./support/models.ts";
import { firstDifference, noise } from "./support/reference.ts";

let device: CpuDevice;
beforeAll(async () => {
  device = await cpu(2);
});
afterAll(() => device.close());

const VOCABULARY = 40;

/** Groups of completions, [prompt length, completion lengths]; ids are made up. */
function sequencesOf(groups: readonly (readonly [number, readonly number[]])[]): Sequence[] {
  let id = 7;
  const next = () => (id = (id * 31 + 11) % VOCABULARY);
  return groups.flatMap(([from, lengths]) => {
    const prompt = Array.from({ length: from }, next);
    return lengths.map((n) => ({ ids: [...prompt, ...Array.from({ length: n }, next)], from }));
  });
}

/** One optimiser step's gradients and scores. */
async function step(
  name: string,
  sequences: readonly Sequence[],
  options: { share: boolean; precision?: Precision; lora?: boolean; pieces?: readonly number[] },
) {
  const { share, precision = 24, lora = false, pieces = [sequences.length] } = options;
  const model = smallModel(device, name, precision, { lora, vocabSize: VOCABULARY });
  makeTrainable(model);
  const packs = pieces.map((n, i) => {
    const at = pieces.slice(0, i).reduce((a, b) => a + b, 0);
    return pack(sequences.slice(at, at + n), 64, VOCABULARY, { share });
  });
  const scored = packs.reduce((n, p) => n + p.rows.length, 0);
  const [dlogp, dentropy] = [noise(scored, 3, 1), noise(scored, 4, 0.3)];
  model.beginStep(packs);
  const logp: number[] = [];
  let at = 0;
  for (const packed of packs) {
    const to = at + packed.rows.length;
    const scores = await model.forwardBackward(packed, dlogp.subarray(at, to), dentropy.subarray(at, to), 0.9);
    logp.push(...scores.logp, ...scores.entropy);
    at = to;
  }
  model.endStep();
  const gradients: Record<string, Float32Array> = {};
  for (const p of model.trainable) gradients[p.name] = await device.readF32(p.grad!);
  model.close();
  return { logp: Float32Array.from(logp), gradients, rows: packs.reduce((n, p) => n + p.tokens.length, 0) };
}

/** Largest difference, relative to the largest number. */
function apart(a: Float32Array, b: Float32Array): number {
  const scale = a.reduce((m, x) => Math.max(m, Math.abs(x)), 1e-30);
  return a.reduce((m, x, i) => Math.max(m, Math.abs(x - b[i]) / scale), 0);
}

describe.each(Object.keys(shapes))("%s", (name) => {
  test.each([false, true])("adapters: %s", async (lora) => {
    // A group of one, a completion of one token, a prompt of one token.
    const sequences = sequencesOf([
      [9, [4, 1, 6]],
      [5, [3]],
      [1, [5, 2]],
    ]);
    const alone = await step(name, sequences, { share: false, lora });
    const shared = await step(name, sequences, { share: true, lora });
    expect(shared.rows).toBe(alone.rows - 2 * 9 - 1);
    expect(firstDifference(alone.logp, shared.logp)).toBe(-1);
    for (const [parameter, want] of Object.entries(alone.gradients)) {
      expect(apart(want, shared.gradients[parameter]), parameter).toBeLessThan(2e-6);
    }
  });
});

test("any ragged groups: the same scores; gradients but for rounding", async () => {
  const group = fc.tuple(
    fc.integer({ min: 1, max: 12 }),
    fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 4 }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(group, { minLength: 1, maxLength: 4 }), async (groups) => {
      const sequences = sequencesOf(groups);
      const alone = await step("qwen3", sequences, { share: false });
      const shared = await step("qwen3", sequences, { share: true });
      expect(firstDifference(alone.logp, shared.logp)).toBe(-1);
      for (const [parameter, want] of Object.entries(alone.gradients)) {
        expect(apart(want, shared.gradients[parameter]), parameter).toBeLessThan(5e-6);
      }
    }),
    { numRuns: 15 },
  );
});

test("micro-batches of whole groups change no bit", async () => {
  const sequences = sequencesOf([
    [6, [2, 3]],
    [4, [5, 1]],
    [7, [3, 3]],
  ]);
  const whole = await step("llama", sequences, { share: true, precision: 12 });
  const parts = await step("llama", sequences, { share: true, precision: 12, pieces: [2, 2, 2] });
  for (const [parameter, want] of Object.entries(whole.gradients)) {
    expect(firstDifference(want, parts.gradients[parameter]), parameter).toBe(-1);
  }
});

test("places by value: equal values together, ascending", () => {
  const { slots, starts, order } = placesByValue([5, 2, 5, 0, 2, 5]);
  expect([...slots]).toEqual([0, 2, 5]);
  expect([...starts]).toEqual([0, 1, 3, 6]);
  expect([...order]).toEqual([3, 1, 4, 0, 2, 5]);
});
