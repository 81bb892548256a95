/**
 * @file Two-player zero-sum games given by a payoff matrix (row player's gain).
 */

export interface Solution {
  /** Of the row player. */
  mixture: number[];
  /** What it gets at least. */
  value: number;
}

/**
 * The mixture p of rows that makes min_b Σ_a p_a M_ab largest, by the simplex method on the column player's programme
 * max Σ y with M'y ≤ 1, M' = M moved above 0 (Bland's rule, so that it ends); p comes from the slacks' prices. Where several
 * mixtures are best, one of them. No rows or no columns: no mixture, value 0.
 */
export function maximin(payoff: readonly (readonly number[])[]): Solution {
  const n = payoff.length;
  const m = payoff[0]?.length ?? 0;
  if (n === 0 || m === 0) return { mixture: [], value: 0 };
  const least = Math.min(...payoff.flat());
  const width = m + n + 1;
  const rows = payoff.map((row, a) => [
    ...row.map((x) => x - least + 1),
    ...payoff.map((_, b) => (a === b ? 1 : 0)),
    1,
  ]);
  const cost = Array.from({ length: width }, (_, k) => (k < m ? -1 : 0));
  const basis = payoff.map((_, a) => m + a);
  const tiny = 1e-12;
  // Bland's rule visits no basis twice; the bound only stops rounding from going in circles.
  for (let step = 0; step < 1000 * (n + m); step++) {
    const enter = cost.slice(0, -1).findIndex((x) => x < -tiny);
    if (enter < 0) break;
    let leave = -1;
    let best = Number.POSITIVE_INFINITY;
    rows.forEach((row, a) => {
      if (row[enter] <= tiny) return;
      const bound = row[width - 1] / row[enter];
      const closer = bound < best - tiny || (bound <= best + tiny && leave >= 0 && basis[a] < basis[leave]);
      if (leave < 0 || closer) {
        best = bound;
        leave = a;
      }
    });
    if (leave < 0) break;
    const pivot = rows[leave][enter];
    rows[leave] = rows[leave].map((x) => x / pivot);
    const clear = (row: number[]): void => {
      const factor = row[enter];
      for (let k = 0; k < width; k++) row[k] -= factor * rows[leave][k];
    };
    rows.forEach((row, a) => {
      if (a !== leave) clear(row);
    });
    clear(cost);
    basis[leave] = enter;
  }
  const prices = cost.slice(m, m + n).map((x) => Math.max(0, x));
  const sum = prices.reduce((a, b) => a + b, 0);
  return { mixture: prices.map((x) => x / sum), value: 1 / sum + least - 1 };
}
