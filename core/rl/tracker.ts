/**
 * @file Statistics that outlive a step, as plain JSON: running moments, moving averages by key.
 */

/** Moments of everything seen; `std` is that of a sample (divisor n − 1). */
export interface Moments {
  mean: number;
  std: number;
  var: number;
  count: number;
}

/** The moments after a batch of values (Chan's parallel update); unchanged by an empty batch. */
export function runningMoments(before: Moments, values: ArrayLike<number>): Moments {
  const n = values.length;
  if (n === 0) return { ...before };
  const x = Array.from(values);
  const mean = x.reduce((a, b) => a + b, 0) / n;
  const variance = x.reduce((a, b) => a + (b - mean) * (b - mean), 0) / n;
  const total = before.count + n;
  const delta = mean - before.mean;
  const merged = (before.var * before.count + (delta * delta * before.count * n) / total + variance * n) / total;
  const free = total - 1;
  return {
    mean: before.mean + (delta * n) / total,
    var: merged,
    std: free > 0 ? Math.sqrt((merged * total) / free) : 0,
    count: total,
  };
}

/**
 * Values less the moving average of their own key, in order of arrival: each is compared first and counted afterwards,
 * b ← decay·b + (1−decay)·x. A new key starts at 0.
 */
export function movingBaseline(
  values: ArrayLike<number>,
  keys: readonly string[],
  before: Readonly<Record<string, number>>,
  decay: number,
): { centred: number[]; after: Record<string, number> } {
  const average = new Map(Object.entries(before));
  const centred = Array.from(values, (x, i) => {
    const b = average.get(keys[i]) ?? 0;
    average.set(keys[i], decay * b + (1 - decay) * x);
    return x - b;
  });
  return { centred, after: Object.fromEntries(average) };
}
