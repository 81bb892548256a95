/**
 * f64 functions for numbers that only WASM ever computes (angle tables, schedules, weight initialisation): the engines'
 * own Math.exp, log, pow, cos differ between browsers, these do not.
 */
export function f64_exp(x: f64): f64 {
  return NativeMath.exp(x);
}
export function f64_log(x: f64): f64 {
  return NativeMath.log(x);
}
export function f64_pow(x: f64, y: f64): f64 {
  return NativeMath.pow(x, y);
}
export function f64_cos(x: f64): f64 {
  return NativeMath.cos(x);
}
export function f64_sin(x: f64): f64 {
  return NativeMath.sin(x);
}

/** cos and sin of position · frequency for each position < rows; frequencies are f64, results rounded once to f32. */
export function rope_table(cos: usize, sin: usize, frequencies: usize, rows: i32, half: i32): void {
  for (let r = 0; r < rows; r++) {
    for (let d = 0; d < half; d++) {
      const angle = <f64>r * load<f64>(frequencies + (<usize>d << 3));
      const at = <usize>(r * half + d) << 2;
      store<f32>(cos + at, <f32>NativeMath.cos(angle));
      store<f32>(sin + at, <f32>NativeMath.sin(angle));
    }
  }
}

/** In place: pairs of 32-bit random words → standard normals · std (Box–Muller in f64, rounded once). n even. */
export function normals(x: usize, n: i32, std: f64): void {
  for (let i = 0; i < n; i += 2) {
    const at = x + (<usize>i << 2);
    const u = (<f64>load<u32>(at) + 0.5) * 2.3283064365386963e-10;
    const w = <f64>load<u32>(at, 4) * 2.3283064365386963e-10;
    const radius = std * NativeMath.sqrt(-2 * NativeMath.log(u));
    const angle = 6.283185307179586 * w;
    store<f32>(at, <f32>(radius * NativeMath.cos(angle)));
    store<f32>(at, <f32>(radius * NativeMath.sin(angle)), 4);
  }
}

/** Philox4x32-10 (Salmon et al., SC'11): n words from key (k0, k1), counter (block index, c1, c2, c3). */
export function philox_fill(out: usize, n: i32, k0: u32, k1: u32, c1: u32, c2: u32, c3: u32): void {
  for (let b = 0; b < n; b += 4) {
    let x0: u32 = <u32>b >> 2;
    let x1 = c1;
    let x2 = c2;
    let x3 = c3;
    let a = k0;
    let c = k1;
    for (let round = 0; round < 10; round++) {
      const p0 = <u64>0xd2511f53 * <u64>x0;
      const p1 = <u64>0xcd9e8d57 * <u64>x2;
      const y0 = <u32>(p1 >> 32) ^ x1 ^ a;
      const y2 = <u32>(p0 >> 32) ^ x3 ^ c;
      x1 = <u32>p1;
      x3 = <u32>p0;
      x0 = y0;
      x2 = y2;
      a += 0x9e3779b9;
      c += 0xbb67ae85;
    }
    const at = out + (<usize>b << 2);
    store<u32>(at, x0);
    if (b + 1 < n) store<u32>(at, x1, 4);
    if (b + 2 < n) store<u32>(at, x2, 8);
    if (b + 3 < n) store<u32>(at, x3, 12);
  }
}
