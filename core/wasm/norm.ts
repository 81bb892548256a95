/**
 * RMSNorm, forward and backward, over rows of n (also the per-head query/key norm: rows = tokens · heads).
 * y = (x · rstd) · w (|x| < 2^-50 counts as 0), rstd = rsqrt(Σx²/n + eps); Σ over 64 lanes. dw accumulates over rows ascending; dx adds to what
 * it holds when `accumulate` is set (the residual stream) and overwrites otherwise.
 */
import { lanesClear, lanesTree, sumSquaresRow } from "./reduce";
import { flush, flushScalar, TINY } from "./simd";
import { rsqrt1 } from "./elementary";
import { shareEnd, shareStart, threadScratch } from "./parallel";

export function rmsnorm_fwd(y: usize, rstd: usize, x: usize, w: usize, rows: i32, n: i32, eps: f32, invN: f32): void {
  const lanes = threadScratch();
  const end = shareEnd(rows, 1);
  for (let r = shareStart(rows, 1); r < end; r++) {
    const xr = x + (<usize>(r * n) << 2);
    const yr = y + (<usize>(r * n) << 2);
    const s = rsqrt1(sumSquaresRow(lanes, xr, n) * invN + eps);
    store<f32>(rstd + (<usize>r << 2), s);
    const s4 = f32x4.splat(s);
    let i: usize = 0;
    const full = <usize>(n & ~3) << 2;
    for (; i < full; i += 16) v128.store(yr + i, f32x4.mul(f32x4.mul(flush(v128.load(xr + i), TINY), s4), v128.load(w + i)));
    for (; i < <usize>n << 2; i += 4) store<f32>(yr + i, flushScalar(load<f32>(xr + i), TINY) * s * load<f32>(w + i));
  }
}

/** dx = rstd · (g − x̂ · mean(g·x̂)), g = dy·w, x̂ = x·rstd. Factors below 2^-50 count as 0 (no subnormal product). */
export function rmsnorm_bwd(dx: usize, dy: usize, x: usize, w: usize, rstd: usize, rows: i32, n: i32, accumulate: i32, invN: f32): void {
  const lanes = threadScratch();
  const end = shareEnd(rows, 1);
  const full = n & ~3;
  for (let r = shareStart(rows, 1); r < end; r++) {
    const base = <usize>(r * n) << 2;
    const s = load<f32>(rstd + (<usize>r << 2));
    const s4 = f32x4.splat(s);
    lanesClear(lanes);
    for (let i = 0; i < full; i += 4) {
      const o = <usize>i << 2;
      const g = flush(f32x4.mul(flush(v128.load(dy + base + o), TINY), v128.load(w + o)), TINY);
      const xh = flush(f32x4.mul(flush(v128.load(x + base + o), TINY), s4), TINY);
      const at = lanes + (<usize>(i & 63) << 2);
      v128.store(at, f32x4.add(v128.load(at), f32x4.mul(g, xh)));
    }
    for (let i = full; i < n; i++) {
      const o = <usize>i << 2;
      const g = flushScalar(flushScalar(load<f32>(dy + base + o), TINY) * load<f32>(w + o), TINY);
      const xh = flushScalar(flushScalar(load<f32>(x + base + o), TINY) * s, TINY);
      const at = lanes + (<usize>(i & 63) << 2);
      store<f32>(at, load<f32>(at) + g * xh);
    }
    const mean = flushScalar(lanesTree(lanes) * invN, TINY);
    const mean4 = f32x4.splat(mean);
    for (let i = 0; i < full; i += 4) {
      const o = <usize>i << 2;
      const g = flush(f32x4.mul(flush(v128.load(dy + base + o), TINY), v128.load(w + o)), TINY);
      const xh = flush(f32x4.mul(flush(v128.load(x + base + o), TINY), s4), TINY);
      let d = f32x4.mul(flush(f32x4.sub(g, f32x4.mul(xh, mean4)), TINY), s4);
      if (accumulate) d = f32x4.add(v128.load(dx + base + o), d);
      v128.store(dx + base + o, d);
    }
    for (let i = full; i < n; i++) {
      const o = <usize>i << 2;
      const g = flushScalar(flushScalar(load<f32>(dy + base + o), TINY) * load<f32>(w + o), TINY);
      const xh = flushScalar(flushScalar(load<f32>(x + base + o), TINY) * s, TINY);
      let d: f32 = flushScalar(g - xh * mean, TINY) * s;
      if (accumulate) d = load<f32>(dx + base + o) + d;
      store<f32>(dx + base + o, d);
    }
  }
}

/** dw[j] += Σ_r dy[r, j] · (x[r, j] · rstd[r]), r ascending, from what dw holds. */
export function rmsnorm_dw(dw: usize, dy: usize, x: usize, rstd: usize, rows: i32, n: i32): void {
  const end = shareEnd(n, 4);
  let j = shareStart(n, 4);
  const stride = <usize>n << 2;
  for (; j + 4 <= end; j += 4) {
    const o = <usize>j << 2;
    let acc = v128.load(dw + o);
    for (let r = 0; r < rows; r++) {
      const at = <usize>r * stride + o;
      const xh = flush(f32x4.mul(flush(v128.load(x + at), TINY), v128.load_splat<f32>(rstd + (<usize>r << 2))), TINY);
      acc = f32x4.add(acc, f32x4.mul(flush(v128.load(dy + at), TINY), xh));
    }
    v128.store(dw + o, acc);
  }
  for (; j < end; j++) {
    const o = <usize>j << 2;
    let acc = load<f32>(dw + o);
    for (let r = 0; r < rows; r++) {
      const at = <usize>r * stride + o;
      const xh = flushScalar(flushScalar(load<f32>(x + at), TINY) * load<f32>(rstd + (<usize>r << 2)), TINY);
      acc += flushScalar(load<f32>(dy + at), TINY) * xh;
    }
    store<f32>(dw + o, acc);
  }
}
