/**
 * Sampling: the cuts keep the sets they should, the draws follow the distribution, and the sampler's log-probabilities
 * are the trainer's, bit for bit: for long prompts, ragged batches, waves, adapters, temperatures and both precisions.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pack } from "../core/model/pack.ts";
import { Stream } from "../core/rng.ts";
import { generate } from "../core/rollout.ts";
import type { CpuDevice } from "../hosts/cpu.ts";
import { cpu } from "./support/devices.ts";
import { smallModel } from "./support/models.ts";
import { firstDifference, noise } from "./support/reference.ts";

let device: CpuDevice;
beforeAll(async () => {
  device = await cpu(2);
});
afterAll(() => device.close());

interface Cuts {
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  greedy?: boolean;
}

/** One draw a row: every row has the same logits and its own uniform. */
async function draw(logits: Float32Array, uniforms: Float32Array, cuts: Cuts): Promise<Uint32Array> {
  const V = logits.length;
  const ld = Math.ceil(V / 4) * 4;
  const rows = uniforms.length;
  const z = device.alloc(rows * ld, "z");
  const data = new Float32Array(rows * ld);
  for (let r = 0; r < rows; r++) data.set(logits, r * ld);
  device.write(z, data);
  const u = device.alloc(rows, "u");
  device.write(u, uniforms);
  const out = [device.alloc(rows, "ids"), device.alloc(rows, "logp"), device.alloc(rows, "entropy")];
  const { temperature = 1, topK = 0, topP = 1, minP = 0, greedy = false } = cuts;
  device.run("sample", ...out, z, u, rows, V, ld, greedy ? 1 : 0, topK, Math.fround(1 / temperature), topP, minP);
  const ids = await device.readU32(out[0]);
  for (const b of [...out, z, u]) device.free(b);
  return ids;
}

/** Tokens that the cuts leave, in float64, by sorting. */
function kept(logits: Float32Array, { temperature = 1, topK = 0, topP = 1, minP = 0 }: Cuts): Map<number, number> {
  const z = Array.from(logits, (x) => x / temperature);
  const top = Math.max(...z);
  let list = z.map((x, id) => ({ id, e: Math.exp(x - top) })).sort((a, b) => b.e - a.e);
  if (topK > 0) list = list.filter(({ e }) => e >= list[Math.min(topK, list.length) - 1].e);
  const mass = list.reduce((s, { e }) => s + e, 0);
  let sum = 0;
  if (topP < 1) {
    list = list.filter(({ e }) => {
      const before = sum;
      sum += e;
      return before < topP * mass;
    });
  }
  list = list.filter(({ e }) => e >= minP);
  const total = list.reduce((s, { e }) => s + e, 0);
  return new Map(list.map(({ id, e }) => [id, e / total]));
}

const uniforms = (n: number, seed: number) => {
  const stream = new Stream(seed, 99);
  return Float32Array.from({ length: n }, () => stream.uniform());
};

describe("one token", () => {
  test("draws only what the cuts keep, and each of it about as often as it should", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          V: fc.constantFrom(1, 2, 5, 63, 64, 65, 130),
          seed: fc.integer({ min: 1, max: 99 }),
          temperature: fc.constantFrom(0.5, 1, 1.7),
          topK: fc.constantFrom(0, 1, 3, 40),
          topP: fc.constantFrom(1, 0.9, 0.5),
          minP: fc.constantFrom(0, 0.1),
        }),
        async ({ V, seed, ...cuts }) => {
          const logits = noise(V, seed, 3);
          const n = 4000;
          const want = kept(logits, cuts);
          const counts = new Map<number, number>();
          for (const id of await draw(logits, uniforms(n, seed), cuts)) counts.set(id, (counts.get(id) ?? 0) + 1);
          for (const [id, count] of counts) {
            const p = want.get(id);
            expect(p, `token ${id} of ${V} is outside the cuts`).toBeDefined();
            expect(Math.abs(count - n * p!)).toBeLessThan(6 * Math.sqrt(n * p! * (1 - p!)) + 4);
          }
          for (const [id, p] of want) if (p > 0.01) expect(counts.has(id)).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });
  test("greedy takes the first of the greatest", async () => {
    const logits = Float32Array.of(-1, 3, 2, 3, 0);
    expect([...(await draw(logits, Float32Array.of(0.9), { greedy: true }))]).toEqual([1]);
  });
  test("the ends of the unit interval give tokens that exist", async () => {
    const logits = noise(100, 5, 20);
    const ends = Float32Array.of(0, 2 ** -24, 1 - 2 ** -24);
    const possible = kept(logits, {});
    for (const id of await draw(logits, ends, {})) expect(possible.get(id)).toBeGreaterThan(0);
  });
});

describe("on policy", () => {
  const prompts = [[1], [1, 2, 3, 4, 5], Array.from({ length: 90 }, (_, i) => (i * 7) % 37), [9, 9]];
  for (const precision of [12, 24] as const) {
    for (const lora of [false, true]) {
      for (const temperature of [1, 0.7]) {
        const title = `precision ${precision}, temperature ${temperature}${lora ? ", adapters" : ""}`;
        test(`sampler = trainer in bits: ${title}`, async () => {
          const model = smallModel(device, lora ? "qwen3" : "llama", precision, { lora });
          const options = { maxTokens: 30, temperature, topK: 0, topP: 1, minP: 0, stopIds: [0, 5] };
          const random = { seed: 1, stream: 3, step: 2 };
          const completions = await generate(model, prompts, 3, options, random);
          const sequences = completions.map((c) => ({
            ids: [...prompts[c.prompt], ...c.ids],
            from: prompts[c.prompt].length,
          }));
          const together = await model.score(pack(sequences, 128, 37), temperature);
          let at = 0;
          for (const [i, c] of completions.entries()) {
            const n = c.ids.length;
            expect(firstDifference(c.logp, together.logp.slice(at, at + n))).toBe(-1);
            expect(firstDifference(c.entropy, together.entropy.slice(at, at + n))).toBe(-1);
            at += n;
            // Alone in a batch: the same bits.
            const alone = await model.score(pack([sequences[i]], 128, 37), temperature);
            expect(firstDifference(c.logp, alone.logp)).toBe(-1);
          }
          // A prompt's completions do not depend on the other prompts of the batch (the random key does, on its place).
          const first = await generate(model, prompts.slice(0, 2), 3, options, random);
          expect(first).toEqual(completions.slice(0, 6));
          expect(completions.some((c) => c.finish === "stop")).toBe(true);
          for (const c of completions) {
            const stops = c.ids.filter((id) => id === 0 || id === 5).length;
            expect(stops).toBe(c.finish === "stop" ? 1 : 0);
          }
          model.close();
        });
      }
    }
  }
  test("a prompt that leaves no room, or has no token, is refused", async () => {
    const model = smallModel(device, "llama", 12);
    const options = { maxTokens: 4, temperature: 1, topK: 0, topP: 1, minP: 0, stopIds: [] };
    const random = { seed: 1, stream: 3, step: 2 };
    await expect(generate(model, [[]], 1, options, random)).rejects.toThrow(/prompt 0 has no tokens/);
    await expect(generate(model, [new Array(128).fill(1)], 1, options, random)).rejects.toThrow(/128 tokens/);
    // One token fits: generation stops at the context's end.
    const [c] = await generate(model, [new Array(127).fill(1)], 1, options, random);
    expect(c.ids.length).toBe(1);
    model.close();
  });
});
