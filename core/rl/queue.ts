/**
 * @file Jobs of whole lengths on a few slots: list scheduling, what it takes in memory, and the best split into queues.
 */

/** When each job starts, taken in the given order by the slot that frees first (ties: the lower slot), and when all are done. */
export function listSchedule(
  lengths: readonly number[],
  order: readonly number[],
  slots: number,
): { start: number[]; steps: number } {
  const free = new Array<number>(Math.max(1, Math.min(slots, order.length))).fill(0);
  const start = new Array<number>(lengths.length).fill(0);
  for (const job of order) {
    const slot = free.reduce((best, time, s) => (time < free[best] ? s : best), 0);
    start[job] = free[slot];
    free[slot] += lengths[job];
  }
  return { start, steps: Math.max(...free) };
}

/** The most that running jobs have produced together, one unit a step each: max over steps s of Σ (s − start). */
export function peakLoad(lengths: readonly number[], start: readonly number[]): number {
  const jobs = lengths.map((length, j) => ({ from: start[j], to: start[j] + length }));
  const starts = [...jobs].sort((a, b) => a.from - b.from);
  const ends = [...jobs].sort((a, b) => a.to - b.to);
  let [running, begun, peak, next] = [0, 0, 0, 0];
  for (const { from, to } of ends) {
    for (; next < starts.length && starts[next].from < to; next++) {
      running++;
      begun += starts[next].from;
    }
    // The load only grows between two ends, so that looking at the ends is enough.
    peak = Math.max(peak, running * to - begun);
    if (from === to) continue;
    running--;
    begun -= from;
  }
  return peak;
}

/**
 * The least possible largest sum when the jobs are split over n queues: exact, by the sets of sums that can be reached
 * (their number can grow exponentially; meant for groups of a few dozen jobs).
 */
export function bestPartition(lengths: readonly number[], n: number): number {
  const jobs = [...lengths].sort((a, b) => b - a);
  const greedy = new Array<number>(Math.max(1, Math.min(n, jobs.length))).fill(0);
  for (const job of jobs) greedy[greedy.indexOf(Math.min(...greedy))] += job;
  let limit = Math.max(...greedy);
  const total = jobs.reduce((a, b) => a + b, 0);
  if (limit <= Math.max(jobs[0] ?? 0, Math.ceil(total / greedy.length))) return limit;
  let reached = new Map<string, number[]>([["", greedy.map(() => 0)]]);
  for (const job of jobs) {
    const next = new Map<string, number[]>();
    for (const sums of reached.values()) {
      for (let q = 0; q < sums.length; q++) {
        if (sums[q] + job >= limit || (q > 0 && sums[q] === sums[q - 1])) continue;
        const grown = sums.map((x, k) => (k === q ? x + job : x)).sort((a, b) => a - b);
        next.set(grown.join(" "), grown);
      }
    }
    // Nothing below the greedy split is left.
    if (next.size === 0) return limit;
    reached = next;
  }
  for (const sums of reached.values()) limit = Math.min(limit, Math.max(...sums));
  return limit;
}
