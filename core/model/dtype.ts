/**
 * @file Number formats of weight files, by bit patterns only: the same bits in, the same bits out, on every engine.
 *
 * A conversion never passes a value through a JavaScript number where that could quieten or canonicalise a NaN; widening
 * is exact, narrowing rounds to nearest, ties to even. Files and memory are little-endian, as WASM is.
 */

/** Formats that hold weights; every other format of a safetensors file is refused when it is loaded as weights. */
export type FloatDtype = "F32" | "BF16" | "F16" | "F64";

/** Bytes of an element, of every format that the safetensors layout names. */
export const dtypeBytes: Readonly<Record<string, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
};

export function isFloatDtype(dtype: string): dtype is FloatDtype {
  return dtype === "F32" || dtype === "BF16" || dtype === "F16" || dtype === "F64";
}

/** Bits of the float32 equal to the float16 of the given bits; subnormals become normal, NaN payloads are kept. */
export function f16BitsToF32Bits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 31;
  const fraction = half & 0x3ff;
  if (exponent === 31) return (sign | 0x7f800000 | (fraction << 13)) >>> 0;
  if (exponent > 0) return (sign | ((exponent + 112) << 23) | (fraction << 13)) >>> 0;
  if (fraction === 0) return sign >>> 0;
  // A subnormal half is fraction · 2^-24; `shift` moves its leading one to bit 10, the place of the hidden one.
  const shift = Math.clz32(fraction) - 21;
  return (sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13)) >>> 0;
}

/** Bits of the float16 nearest to the float32 of the given bits, ties to even; overflow gives an infinity. */
export function f32BitsToF16Bits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  // A NaN keeps its upper payload; the quiet bit is set so that a payload cut to zero does not become an infinity.
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x3ff);
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  const exponent = magnitude >>> 23;
  if (exponent > 112) {
    const rounded = magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1);
    return sign | (rounded >>> 13);
  }
  // Below 2^-14 the result counts units of 2^-24; below 2^-25 it is zero.
  const shift = 126 - exponent;
  if (shift > 24) return sign;
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const half = mantissa >>> shift;
  const rest = mantissa & ((1 << shift) - 1);
  const tie = 1 << (shift - 1);
  return sign | (half + (rest > tie || (rest === tie && (half & 1) === 1) ? 1 : 0));
}

/** Bits of the bfloat16 nearest to the float32 of the given bits, ties to even; overflow gives an infinity. */
export function f32BitsToBf16Bits(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) / 65536) & 0xffff;
}

/** A view of the bytes as 16-, 32- or 64-bit elements; copies only where the bytes are not aligned to an element. */
function aligned(bytes: Uint8Array, size: number): { buffer: ArrayBufferLike; byteOffset: number } {
  if (bytes.byteOffset % size === 0) return bytes;
  return new Uint8Array(bytes);
}

/**
 * Widens (F64: rounds) raw elements into `target[at…]`.
 *
 * @param bytes whole elements, little-endian
 */
export function decodeFloats(bytes: Uint8Array, dtype: FloatDtype, target: Float32Array, at = 0): void {
  const count = bytes.length / dtypeBytes[dtype];
  const out = new Uint32Array(target.buffer, target.byteOffset + at * 4, count);
  const { buffer, byteOffset } = aligned(bytes, dtypeBytes[dtype]);
  if (dtype === "F32") {
    out.set(new Uint32Array(buffer, byteOffset, count));
  } else if (dtype === "F64") {
    target.set(new Float64Array(buffer, byteOffset, count), at);
  } else {
    const halves = new Uint16Array(buffer, byteOffset, count);
    if (dtype === "BF16") for (let i = 0; i < count; i++) out[i] = halves[i] << 16;
    else for (let i = 0; i < count; i++) out[i] = f16BitsToF32Bits(halves[i]);
  }
}

/** Raw little-endian bytes of the values, each rounded to the nearest of the format, ties to even. */
export function encodeFloats(values: Float32Array, dtype: FloatDtype): Uint8Array {
  if (dtype === "F64") return new Uint8Array(Float64Array.from(values).buffer);
  // A copy: a shared WASM memory can grow or change under a file being written.
  const bits = new Uint32Array(values.length);
  bits.set(new Uint32Array(values.buffer, values.byteOffset, values.length));
  if (dtype === "F32") return new Uint8Array(bits.buffer);
  const narrow = dtype === "BF16" ? f32BitsToBf16Bits : f32BitsToF16Bits;
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < halves.length; i++) halves[i] = narrow(bits[i]);
  return new Uint8Array(halves.buffer);
}

/** Index of the first infinity or NaN, or -1; by integers, because an optimiser may assume floats are finite. */
export function firstNonFinite(values: Float32Array): number {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++) if ((bits[i] & 0x7f800000) === 0x7f800000) return i;
  return -1;
}
