import { describe, expect, test } from "vitest";
import { decodeFloats, encodeFloats, f16BitsToF32Bits, f32BitsToF16Bits, firstNonFinite } from "../core/model/dtype.ts";

const all = Uint16Array.from({ length: 65536 }, (_, k) => k);
const bitsOf = (values: Float32Array) => new Uint32Array(values.buffer, values.byteOffset, values.length);
const floatOf = (bits: number) => new Float32Array(Uint32Array.of(bits).buffer)[0];
const isNaN16 = (half: number) => (half & 0x7c00) === 0x7c00 && (half & 0x3ff) !== 0;

/** The value of a half, from the definition. */
function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

describe("float16 and bfloat16", () => {
  test("every float16 widens to the value of its definition and narrows back to its own bits", () => {
    const wide = new Float32Array(65536);
    decodeFloats(new Uint8Array(all.buffer), "F16", wide);
    for (let k = 0; k < 65536; k++)
      if (!Object.is(wide[k], half(k))) throw new Error(`half ${k} widened to ${wide[k]}`);
    const back = new Uint16Array(encodeFloats(wide, "F16").buffer);
    // A signalling NaN becomes quiet; every other pattern is its own.
    for (let k = 0; k < 65536; k++)
      if (back[k] !== (isNaN16(k) ? k | 0x200 : k)) throw new Error(`half ${k}: ${back[k]}`);
  });

  test("every bfloat16 is the upper half of a float32, and narrows back", () => {
    const wide = new Float32Array(65536);
    decodeFloats(new Uint8Array(all.buffer), "BF16", wide);
    const bits = bitsOf(wide);
    const back = new Uint16Array(encodeFloats(wide, "BF16").buffer);
    for (let k = 0; k < 65536; k++) {
      if (bits[k] >>> 0 !== k * 65536) throw new Error(`bfloat16 ${k} widened to ${bits[k]}`);
      const nan = (k & 0x7fff) > 0x7f80;
      if (back[k] !== (nan ? k | 0x40 : k)) throw new Error(`bfloat16 ${k}: ${back[k]}`);
    }
  });

  test("narrowing to float16 rounds to the nearest, ties to even, between every two neighbours", () => {
    for (let k = 0; k < 0x7bff; k++) {
      const [low, high] = [half(k), half(k + 1)];
      const middle = bitsOf(Float32Array.of((low + high) / 2))[0];
      expect(floatOf(middle)).toBe((low + high) / 2);
      const even = k % 2 === 0 ? k : k + 1;
      for (const sign of [0, 0x8000]) {
        const at = (sign << 16) | 0;
        if (f32BitsToF16Bits((middle | at) >>> 0) !== (even | sign)) throw new Error(`tie above ${k}`);
        if (f32BitsToF16Bits(((middle - 1) | at) >>> 0) !== (k | sign))
          throw new Error(`just below the tie above ${k}`);
        if (f32BitsToF16Bits(((middle + 1) | at) >>> 0) !== ((k + 1) | sign)) throw new Error(`just above it, ${k}`);
      }
    }
    // 65520 is half-way from the largest half to what would be the next, which is an infinity.
    const bits = (x: number) => bitsOf(Float32Array.of(x))[0];
    expect(f32BitsToF16Bits(bits(65519.99))).toBe(0x7bff);
    expect(f32BitsToF16Bits(bits(65520))).toBe(0x7c00);
    expect(f32BitsToF16Bits(bits(-3e38))).toBe(0xfc00);
    expect(f32BitsToF16Bits(1)).toBe(0);
  });

  test("narrowing to bfloat16 rounds to the nearest, ties to even, between every two neighbours", () => {
    const around = new Float32Array(3);
    for (let k = 0; k < 0x7f80; k++) {
      bitsOf(around).set([k * 65536 + 0x7fff, k * 65536 + 0x8000, k * 65536 + 0x8001]);
      const got = new Uint16Array(encodeFloats(around, "BF16").buffer);
      const want = [k, k % 2 === 0 ? k : k + 1, k + 1];
      if (got.join() !== want.join()) throw new Error(`around ${k}: ${got.join()}, wanted ${want.join()}`);
    }
  });

  test("unaligned bytes and an offset target are read alike", () => {
    const values = Float32Array.of(1.5, -2.25, 0, 3e-8);
    for (const dtype of ["F32", "F64", "BF16", "F16"] as const) {
      const bytes = encodeFloats(values, dtype);
      const shifted = new Uint8Array(bytes.length + 1);
      shifted.set(bytes, 1);
      const [a, b] = [new Float32Array(4), new Float32Array(6)];
      decodeFloats(bytes, dtype, a);
      decodeFloats(shifted.subarray(1), dtype, b, 2);
      expect([...b.subarray(2)]).toEqual([...a]);
      expect([...b.subarray(0, 2)]).toEqual([0, 0]);
      expect(a[0]).toBe(1.5);
    }
  });

  test("non-finite values are found by their bits", () => {
    expect(firstNonFinite(Float32Array.of(1, -3.4e38, 1e-45))).toBe(-1);
    expect(firstNonFinite(Float32Array.of(1, Number.NaN, Number.POSITIVE_INFINITY))).toBe(1);
    expect(firstNonFinite(Float32Array.of(Number.NEGATIVE_INFINITY))).toBe(0);
    expect(f16BitsToF32Bits(0x7c01)).toBe(0x7f802000);
  });
});
