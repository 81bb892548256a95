/**
 * @file Splitting a budget: choose one option of each item so that the costs add up to a total and the values to a maximum
 * (a multiple-choice knapsack, solved exactly by dynamic programming over totals).
 */

export interface Choice {
  /** A whole number, 0 or more. */
  cost: number;
  value: number;
}

export interface Plan {
  total: number;
  value: number;
  /** Which option of each item. */
  picks: number[];
}

/**
 * The best plan for every total that can be reached, ascending by total. Ties: the earlier option of the later item.
 * Takes time in proportion to items × totals × options.
 *
 * @param limit totals above it are left out
 */
export function plans(items: readonly (readonly Choice[])[], limit = Number.POSITIVE_INFINITY): Plan[] {
  const most = items.reduce((sum, options) => sum + Math.max(...options.map(({ cost }) => cost)), 0);
  const size = Math.floor(Math.min(limit, most)) + 1;
  if (!(size > 0)) return [];
  let best = new Float64Array(size).fill(Number.NEGATIVE_INFINITY);
  best[0] = 0;
  const trace: Int32Array[] = [];
  for (const options of items) {
    const next = new Float64Array(size).fill(Number.NEGATIVE_INFINITY);
    const pick = new Int32Array(size).fill(-1);
    options.forEach(({ cost, value }, k) => {
      for (let total = cost; total < size; total++) {
        // Unreached totals are −∞ and never rise above one another.
        if (!(best[total - cost] + value > next[total])) continue;
        next[total] = best[total - cost] + value;
        pick[total] = k;
      }
    });
    best = next;
    trace.push(pick);
  }
  const picksOf = (total: number): number[] => {
    const picks = new Array<number>(items.length);
    let left = total;
    for (let j = items.length - 1; j >= 0; j--) {
      picks[j] = trace[j][left];
      left -= items[j][picks[j]].cost;
    }
    return picks;
  };
  return Array.from(best, (value, total) => ({
    total,
    value,
    get picks() {
      return picksOf(total);
    },
  })).filter(({ value }) => value > Number.NEGATIVE_INFINITY);
}

/** The plan whose total comes closest to `budget`; of equally close ones that of most value. */
export function closestPlan(items: readonly (readonly Choice[])[], budget: number): Plan {
  const away = ({ total }: Plan): number => Math.abs(total - budget);
  return plans(items).reduce((a, b) => (away(b) < away(a) || (away(b) === away(a) && b.value > a.value) ? b : a));
}

/** `amount` units shared evenly over n places, what is left over one each to the first ones. */
export function evenly(amount: number, n: number): number[] {
  const each = Math.floor(amount / n);
  return Array.from({ length: n }, (_, k) => each + (k < amount - each * n ? 1 : 0));
}
