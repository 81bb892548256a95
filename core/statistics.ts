/** @file Small statistics over typed arrays, in f64 and in index order, without NaN where there is nothing. */

export type Numbers = ArrayLike<number>;

/** Arithmetic mean; null of nothing. */
export function mean(x: Numbers): number | null {
  if (x.length === 0) return null;
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i];
  return sum / x.length;
}

/** Sum of squared distances from the mean (two passes: near-constant data keep their digits). */
function spread(x: Numbers): number {
  const centre = mean(x) ?? 0;
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += (x[i] - centre) * (x[i] - centre);
  return sum;
}

/** Standard deviation with n − ddof in the denominator; 0 where that is not positive. */
export function standardDeviation(x: Numbers, ddof = 1): number {
  return x.length > ddof ? Math.sqrt(spread(x) / (x.length - ddof)) : 0;
}

export function minimum(x: Numbers): number | null {
  let least: number | null = null;
  for (let i = 0; i < x.length; i++) if (least === null || x[i] < least) least = x[i];
  return least;
}

export function maximum(x: Numbers): number | null {
  let most: number | null = null;
  for (let i = 0; i < x.length; i++) if (most === null || x[i] > most) most = x[i];
  return most;
}

/**
 * Mean with its 95 % confidence interval, mean ± 1.96 · s / √n over n independent values (here: prompts, whose samples
 * are averaged first, so that samples of one prompt are not mistaken for independent ones). The normal interval has
 * no width where all values are equal. Null of nothing.
 */
export function meanInterval(x: Numbers): { mean: number; low: number; high: number } | null {
  const centre = mean(x);
  if (centre === null) return null;
  const half = (1.96 * standardDeviation(x)) / Math.sqrt(x.length);
  return { mean: centre, low: centre - half, high: centre + half };
}
