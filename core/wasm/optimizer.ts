/**
 * AdamW (Loshchilov & Hutter, 1711.05101) with the global-norm factor folded in.
 *   g ← grad · gradScale;  m ← β1 m + (1 − β1) g;  v ← β2 v + (1 − β2) g²
 *   p ← p · decay − lr · ((m · c1) / (√(v · c2) + ε)),   c1 = 1/(1 − β1^t), c2 = 1/(1 − β2^t), decay = 1 − lr·wd
 * Gradients below 2^-50 and moments below 2^-100 count as 0, so that nothing is ever subnormal.
 */
import { rcp4, sqrt4 } from "./elementary";
import { flush, TINY, TINY_MOMENT } from "./simd";
import { shareEnd, shareStart } from "./parallel";

export function adamw(
  p: usize, g: usize, m: usize, v: usize, n: i32,
  lr: f32, beta1: f32, rest1: f32, beta2: f32, rest2: f32, c1: f32, c2: f32, eps: f32, decay: f32, gradScale: f32,
): void {
  // Buffers are padded to 16 bytes, so the last vector may run past n; what it writes there is never read.
  const end = shareEnd(n, 16);
  for (let i = shareStart(n, 16); i < end; i += 4) {
    const o = <usize>i << 2;
    const grad = flush(f32x4.mul(flush(v128.load(g + o), TINY), f32x4.splat(gradScale)), TINY);
    const mm = flush(f32x4.add(f32x4.mul(v128.load(m + o), f32x4.splat(beta1)), f32x4.mul(grad, f32x4.splat(rest1))), TINY_MOMENT);
    const square = f32x4.mul(f32x4.mul(grad, grad), f32x4.splat(rest2));
    const vv = flush(f32x4.add(f32x4.mul(v128.load(v + o), f32x4.splat(beta2)), square), TINY_MOMENT);
    v128.store(m + o, mm);
    v128.store(v + o, vv);
    const root = f32x4.add(sqrt4(f32x4.mul(vv, f32x4.splat(c2))), f32x4.splat(eps));
    const update = flush(f32x4.mul(f32x4.mul(mm, f32x4.splat(c1)), rcp4(root)), TINY);
    v128.store(p + o, f32x4.sub(f32x4.mul(v128.load(p + o), f32x4.splat(decay)), f32x4.mul(update, f32x4.splat(lr))));
  }
}
