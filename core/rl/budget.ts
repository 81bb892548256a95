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
  let best = new Map<number, number>([[0, 0]]);
  const trace: Map<number, number>[] = [];
  for (const options of items) {
    const next = new Map<number, number>();
    const pick = new Map<number, number>();
    options.forEach(({ cost, value }, k) => {
      for (const [before, sum] of best) {
        const total = before + cost;
        if (total > limit) continue;
        const known = next.get(total);
        if (known !== undefined && !(sum + value > known)) continue;
        next.set(total, sum + value);
        pick.set(total, k);
      }
    });
    best = next;
    trace.push(pick);
  }
  return [...best]
    .sort((a, b) => a[0] - b[0])
    .map(([total, value]) => ({
      total,
      value,
      get picks() {
        const picks = new Array<number>(items.length);
        let left = total;
        for (let j = items.length - 1; j >= 0; j--) {
          picks[j] = trace[j].get(left) as number;
          left -= items[j][picks[j]].cost;
        }
        return picks;
      },
    }));
}

/** `amount` units shared evenly over n places, what is left over one each to the first ones. */
export function evenly(amount: number, n: number): number[] {
  const each = Math.floor(amount / n);
  return Array.from({ length: n }, (_, k) => each + (k < amount - each * n ? 1 : 0));
}
