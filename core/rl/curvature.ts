/**
 * @file How far one token's step on the LM head would move objective and policy: a second-order model of the head alone
 * (CAPO, arXiv 2510.00819), and the head's Adam moments. Rows are vocabulary entries; those never seen are 0.
 */
import { dot } from "./linear.ts";
import { exp, pow } from "./scalar.ts";

export type HeadRows = Record<number, readonly number[]>;

/** Adam's moments of the head before the step of number `t` (0: none yet). */
export interface HeadMoments {
  m: HeadRows;
  v: HeadRows;
  t: number;
}

export interface Head {
  kind: "adam" | "sgd";
  lr: number;
  beta1: number;
  beta2: number;
  eps: number;
}

/** One sampled token: hidden state (d), the top-k rows with their logits, the sampled one's place among them (or none). */
export interface HeadToken {
  hidden: readonly number[];
  ids: readonly number[];
  logits: readonly number[];
  action: number;
  advantage: number;
}

/** Softmax over the top-k alone. */
export function topProbabilities(logits: readonly number[]): number[] {
  const top = Math.max(...logits);
  const e = logits.map((z) => exp(z - top));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((x) => x / sum);
}

/** Ascent gradient A·(e − π)·hᵀ on the head's top-k rows. */
export function headGradient({ hidden, logits, action, advantage }: HeadToken): number[][] {
  const pi = topProbabilities(logits);
  return pi.map((q, k) => hidden.map((h) => advantage * ((k === action ? 1 : 0) - q) * h));
}

/** The optimiser's direction for these rows with a look-ahead that does not advance the moments. */
function direction(g: number[][], ids: readonly number[], head: Head, { m, v, t }: HeadMoments): number[][] {
  if (head.kind === "sgd" || t === 0) return g;
  const { beta1, beta2, eps } = head;
  const [bias1, bias2] = [1 - pow(beta1, t + 1), 1 - pow(beta2, t + 1)];
  return g.map((row, k) =>
    row.map((x, j) => {
      const first = beta1 * (m[ids[k]]?.[j] ?? 0) + (1 - beta1) * x;
      const second = beta2 * (v[ids[k]]?.[j] ?? 0) + (1 - beta2) * x * x;
      return first / bias1 / (Math.sqrt(second / bias2) + eps);
    }),
  );
}

/** m_H = lr⟨g, D⟩ + (lr²/2)·A·[(v·u)² − uᵀ(diag π − ππᵀ)u] and m_F = (lr²/2)(v·u)², u = D·h, v = e − π. */
export function headShifts(token: HeadToken, head: Head, moments: HeadMoments): { objective: number; policy: number } {
  const g = headGradient(token);
  const d = direction(g, token.ids, head, moments);
  const pi = topProbabilities(token.logits);
  const u = d.map((row) => dot(row, token.hidden));
  const mean = dot(pi, u);
  const along = (token.action >= 0 ? (u[token.action] ?? 0) : 0) - mean;
  const spread = pi.reduce((sum, q, k) => sum + q * u[k] * u[k], 0) - mean * mean;
  const linear = g.reduce((sum, row, k) => sum + dot(row, d[k]), 0);
  const half = (head.lr * head.lr) / 2;
  return {
    objective: head.lr * linear + half * token.advantage * (along * along - spread),
    policy: half * along * along,
  };
}

/** The moments after a step with the mean over `count` tokens of the kept tokens' gradients. */
export function advance(tokens: readonly HeadToken[], count: number, head: Head, before: HeadMoments): HeadMoments {
  const sum = new Map<number, number[]>();
  for (const token of tokens) {
    headGradient(token).forEach((row, k) => {
      const old = sum.get(token.ids[k]);
      sum.set(
        token.ids[k],
        row.map((x, j) => x / count + (old?.[j] ?? 0)),
      );
    });
  }
  const after: { m: Record<number, number[]>; v: Record<number, number[]>; t: number } = {
    m: {},
    v: {},
    t: before.t + 1,
  };
  for (const id of new Set([...Object.keys(before.m).map(Number), ...sum.keys()])) {
    const [m, v] = [before.m[id] ?? [], before.v[id] ?? []];
    const g = sum.get(id) ?? m.map(() => 0);
    after.m[id] = g.map((x, j) => head.beta1 * (m[j] ?? 0) + (1 - head.beta1) * x);
    after.v[id] = g.map((x, j) => head.beta2 * (v[j] ?? 0) + (1 - head.beta2) * x * x);
  }
  return after;
}
