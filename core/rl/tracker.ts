/**
 * @file Statistics that outlive a step, as plain JSON: running moments, moving averages by key, the best of what was seen.
 */

/** Moments of everything seen; `std` is that of a sample (divisor n − 1). */
export interface Moments {
  mean: number;
  std: number;
  var: number;
  count: number;
}

/** Of a list alone. */
export type SampleMoments = Pick<Moments, "mean" | "std">;

/** Mean and deviation of a sample; of at most one number 0 and 1, so that it is compared with nothing (verl). */
export function sampleMoments(x: readonly number[]): SampleMoments {
  if (x.length < 2) return { mean: 0, std: 1 };
  const mean = x.reduce((a, b) => a + b, 0) / x.length;
  return { mean, std: Math.sqrt(x.reduce((sum, v) => sum + (v - mean) * (v - mean), 0) / (x.length - 1)) };
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

/** Each number moved a share of the way to its target. */
export function movedTowards(x: readonly number[], target: readonly number[], share: number): number[] {
  return x.map((from, k) => (1 - share) * from + share * target[k]);
}

/**
 * Lists of numbers by name after moves: each named list becomes a sum of others times their coefficients, in the order given.
 * @param moves see `MovingReference` of core/recipe/types.ts
 */
export function moved(
  lists: Readonly<Record<string, readonly number[]>>,
  moves: readonly (readonly [name: string, sum: Readonly<Record<string, number>>])[],
): Record<string, readonly number[]> {
  const now: Record<string, readonly number[]> = { ...lists };
  for (const [name, sum] of moves) {
    const terms = Object.entries(sum);
    now[name] = now[terms[0][0]].map((_, k) => terms.reduce((total, [of, share]) => total + share * now[of][k], 0));
  }
  return now;
}

/** The entries of highest score, by number of offer. */
export interface TopScores {
  offered: number;
  entries: readonly { id: number; score: number }[];
}

/** After offering scores one by one: a full buffer gives up its smallest (of equal ones the earliest) for a larger one. */
export function offered(before: TopScores, scores: readonly number[], size: number): TopScores {
  let entries = [...before.entries];
  scores.forEach((score, k) => {
    const entry = { id: before.offered + k, score };
    if (entries.length < size) {
      entries.push(entry);
      return;
    }
    const least = entries.reduce((a, b) => (b.score < a.score ? b : a));
    if (score > least.score) entries = [...entries.filter((e) => e !== least), entry];
  });
  return { offered: before.offered + scores.length, entries };
}
