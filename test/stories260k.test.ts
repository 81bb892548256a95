/** The real model of ../shared against its float64 reference; skipped where that folder is absent. */
import { existsSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../core/api.ts";
import { createEngine } from "../hosts/node.ts";

const dir = "../shared/models/stories260K";
const there = existsSync(`${dir}/reference.json`);

describe.skipIf(!there)(`stories260K${there ? "" : " (skipped: ../shared/models is absent)"}`, () => {
  let engine: Engine;
  let reference: Record<string, number[]> & { grad_l2: Record<string, number>; greedy_text: string };
  beforeAll(async () => {
    reference = JSON.parse(readFileSync(`${dir}/reference.json`, "utf8"));
    engine = await createEngine({ threads: 2 });
  });
  afterAll(() => engine.close());
  const distance = (a: number[], b: number[]) => Math.max(...a.map((x, i) => Math.abs(x - b[i])));

  for (const [precision, tolerance] of [
    [24, 2e-5],
    [12, 1e-2],
  ] as const) {
    test(`precision ${precision}: scores within ${tolerance}, the published story word for word`, async () => {
      const ids = reference.greedy_ids.slice(0, 65);
      const scores = await engine.score({ model: dir, ids, grad: precision === 24, precision });
      expect(scores.logprob.length).toBe(64);
      expect(distance(scores.logprob, reference.logprob_next)).toBeLessThan(tolerance);
      expect(distance(scores.entropy, reference.entropy)).toBeLessThan(tolerance);
      for (const [name, norm] of Object.entries(scores.grad_l2 ?? {})) {
        expect(Math.abs(norm / reference.grad_l2[name] - 1), name).toBeLessThan(1e-4);
      }
      if (scores.grad_l2) expect(Object.keys(scores.grad_l2).sort()).toEqual(Object.keys(reference.grad_l2).sort());
      const given = { model: dir, prompt: "", n: 1, maxTokens: 256, temperature: 0, seed: 0, precision };
      for await (const sample of engine.sample(given)) {
        expect(sample.ids).toEqual(reference.greedy_ids);
        expect(sample.text.trim()).toBe(reference.greedy_text.trim());
      }
    });
  }
});
