/**
 * @file Estimators of KL(policy ‖ reference) from one sampled token (Schulman 2020), named by value; the gradient is the
 * value's own unless said otherwise.
 *
 * With d = lp − lp_ref: k1 = d (unbiased; as a loss its expected gradient is 0), k2 = d²/2 (its on-policy gradient is that
 * of the reverse KL), k3 = e^−d + d − 1 (unbiased, never negative; as a loss its gradient is that of the forward KL).
 *
 * Degenerate cases: d = 0 gives exactly 0; k3 of d below −300 saturates at e^300 and stays finite.
 */
import type { Context } from "./context.ts";
import type { Vec } from "./vec.ts";

export type KlKind = "k1" | "k2" | "k3" | "abs";
export const KL_KINDS: readonly KlKind[] = ["k1", "k2", "k3", "abs"];

export interface KlClamp {
  /** Clamp of the log-ratio inside (verl: 20), gradient 0 beyond. */
  inner?: number;
  /** Clamp of the estimate (verl: 10). */
  outer?: number;
}

/** The estimate from d = lp − lp_ref. */
export function klEstimate(d: Vec, kind: KlKind, { inner, outer }: KlClamp = {}): Vec {
  const x = inner === undefined ? d : d.clamp(-inner, inner);
  let k: Vec;
  if (kind === "k1") k = x;
  else if (kind === "k2") k = x.square().mul(0.5);
  else if (kind === "abs") k = x.abs();
  else k = x.neg().exp().add(x).sub(1);
  return outer === undefined ? k : k.clamp(-outer, outer);
}

/** The estimate between the current policy and the reference, per token. */
export function klToReference(c: Context, kind: KlKind, clamp?: KlClamp): Vec {
  return klEstimate(c.logp.sub(c.logpRef), kind, clamp);
}

/** k(d)·w with the gradient of both, clamped as a whole; w is constant where d is clamped (NeMo's score-function form). */
export function weightedKl(d: Vec, kind: KlKind, w: Vec, { inner, outer }: KlClamp = {}): Vec {
  const within = inner === undefined ? w : d.inside(-inner, inner).where(w, w.stop());
  const k = klEstimate(d, kind, { inner }).mul(within);
  return outer === undefined ? k : k.clamp(-outer, outer);
}

/** Value of one estimator, gradient of another: g − sg(g) + sg(v). */
export function straightThrough(value: Vec, gradient: Vec): Vec {
  return gradient.sub(gradient.stop()).add(value.stop());
}

/** beta·k as a term of the token loss; outputs k·m as `kl`. */
export function klPenalty(c: Context, k: Vec, beta: number): Vec {
  c.output("kl", k.mul(c.mask));
  return k.mul(beta);
}
