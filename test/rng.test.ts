import { expect, test } from "vitest";
import { hashText, philox, Stream, uniform } from "../core/rng.ts";

const hex = (words: Uint32Array) => [...words].map((w) => w.toString(16).padStart(8, "0")).join(" ");

// Known answers of Random123 1.14 (tests/kat_vectors, philox4x32 with 10 rounds): counter, key, result.
test("Philox4x32-10 gives Random123's published vectors", () => {
  expect(hex(philox(0, 0, 0, 0, 0, 0))).toBe("6627e8d5 e169c58d bc57ac4c 9b00dbd8");
  const ones = 0xffffffff;
  expect(hex(philox(ones, ones, ones, ones, ones, ones))).toBe("408f276d 41c83b0e a20bc7c6 6d5451fd");
  expect(hex(philox(0xa4093822, 0x299f31d0, 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344))).toBe(
    "d16cfe09 94fdcceb 5001e420 24126ea1",
  );
});

test("uniform lies on the grid of 2^-24 and never reaches 1", () => {
  expect(uniform(0)).toBe(0);
  expect(uniform(0xffffffff)).toBe(1 - 2 ** -24);
  expect(Math.fround(uniform(0x12345678))).toBe(uniform(0x12345678));
});

test("a stream is a function of its coordinates and hands out all four words of a block", () => {
  const stream = new Stream(7, 2, 3, 4, 5);
  const words = Array.from({ length: 8 }, () => stream.bits());
  expect(words).toEqual([...philox(7, 2, 3, 4, 5, 0), ...philox(7, 2, 3, 4, 5, 1)]);
  expect(new Stream(7, 2, 3, 4, 6).bits()).not.toBe(words[0]);
  expect(new Stream(7, 3, 3, 4, 5).bits()).not.toBe(words[0]);
});

test("below and shuffle are even", () => {
  const random = new Stream(1, 1);
  const counts = new Array(6).fill(0);
  for (let i = 0; i < 60_000; i++) counts[random.below(6)]++;
  // Chi-square with 5 degrees of freedom: 20.5 is the 0.1 % point; the seed is fixed.
  expect(counts.reduce((sum, c) => sum + (c - 10_000) ** 2 / 10_000, 0)).toBeLessThan(20.5);
  const firsts = new Array(4).fill(0);
  for (let i = 0; i < 40_000; i++) firsts[random.shuffle([0, 1, 2, 3])[0]]++;
  expect(firsts.reduce((sum, c) => sum + (c - 10_000) ** 2 / 10_000, 0)).toBeLessThan(16.3);
});

test("hashText tells close texts apart and depends on its seed", () => {
  const hashes = new Set(Array.from({ length: 10_000 }, (_, i) => hashText(String(i))));
  expect(hashes.size).toBeGreaterThan(9_990);
  expect(hashText("a", 1)).not.toBe(hashText("a", 2));
  const low = new Array(8).fill(0);
  for (const h of hashes) low[h % 8]++;
  for (const count of low) expect(Math.abs(count - 1250)).toBeLessThan(150);
});
