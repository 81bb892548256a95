/**
 * @file The kernels said again in plain f32 JavaScript, one rounding at a time: what the WASM and WGSL kernels must equal
 * bit for bit. Slow and obvious on purpose.
 */
const f = Math.fround;
const words = new Uint32Array(1);
const floats = new Float32Array(words.buffer);

export function round12(x: number): number {
  if (Math.abs(x) < 2 ** -50) return 0;
  floats[0] = x;
  const u = words[0];
  words[0] = (u + 0x7ff + ((u >>> 12) & 1)) & 0xfffff000;
  return floats[0];
}

/** One accumulator over k ascending from init. */
export function dot(
  a: (k: number) => number,
  b: (k: number) => number,
  k: number,
  precision: 12 | 24,
  init = 0,
): number {
  let acc = init;
  for (let i = 0; i < k; i++) {
    const ah = round12(a(i));
    const bh = round12(b(i));
    acc = f(acc + f(ah * bh));
    if (precision === 24) {
      const al = round12(f(a(i) - ah));
      const bl = round12(f(b(i) - bh));
      acc = f(acc + f(ah * bl));
      acc = f(acc + f(al * bh));
    }
  }
  return acc;
}

/** 64 interleaved lanes, then the halving tree. */
export function sum64(x: ArrayLike<number>): number {
  const lanes = new Float32Array(64);
  for (let i = 0; i < x.length; i++) lanes[i & 63] = lanes[i & 63] + x[i];
  for (let half = 32; half >= 1; half /= 2) for (let l = 0; l < half; l++) lanes[l] = lanes[l] + lanes[l + half];
  return lanes[0];
}

/** Bits of a float array, for messages that show what differs. */
export function bits(x: Float32Array): Uint32Array {
  return new Uint32Array(x.buffer, x.byteOffset, x.length);
}

/** Index of the first differing bit pattern, or −1. */
export function firstDifference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Math.min(a.length, b.length);
  const x = bits(a);
  const y = bits(b);
  for (let i = 0; i < x.length; i++) if (x[i] !== y[i]) return i;
  return -1;
}

/** Deterministic numbers in (−1, 1) for tests. */
export function noise(n: number, seed: number, scale = 1): Float32Array {
  let s = (seed * 2654435761 + 12345) >>> 0;
  return Float32Array.from({ length: n }, () => {
    s = (Math.imul(s, 1664525) + 1013904223) >>> 0;
    return (s / 2 ** 31 - 1) * scale;
  });
}
