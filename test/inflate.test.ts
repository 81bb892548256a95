import { constants, deflateRawSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { inflate } from "../core/inflate.ts";

const strategies = [constants.Z_DEFAULT_STRATEGY, constants.Z_FIXED, constants.Z_HUFFMAN_ONLY, constants.Z_RLE];

test("undoes what zlib does: stored, fixed and dynamic blocks, near and far copies", () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 50 }),
    fc.nat(300).map((n) => new Uint8Array(n).fill(n)),
  );
  const data = fc
    .array(piece, { maxLength: 40 })
    .map((list) => Uint8Array.from(list.flatMap((p) => [...p, ...list[0]])));
  fc.assert(
    fc.property(data, fc.integer({ min: 0, max: 9 }), fc.constantFrom(...strategies), (bytes, level, strategy) => {
      expect(inflate(deflateRawSync(bytes, { level, strategy }), bytes.length)).toEqual(bytes);
    }),
  );
});

test("damage is found", () => {
  const bytes = new TextEncoder().encode("a module of WebAssembly, a module of WebAssembly");
  const packed = deflateRawSync(bytes);
  expect(() => inflate(packed.subarray(0, packed.length - 4), bytes.length)).toThrow(/inflate: the end at byte/);
  expect(() => inflate(packed, bytes.length + 1)).toThrow(/48 of 49 bytes/);
  expect(() => inflate(Uint8Array.of(7), 1)).toThrow(/no such block/);
});
