/**
 * @file Hierarchical GAE (HiPER, arXiv 2602.16165): actions inside segments, options over them (semi-Markov), and what
 * ending a segment is worth. Plain numbers of one trajectory, an entry a turn.
 */

export interface Turns {
  reward: readonly number[];
  /** Whether a segment starts at the turn (the first turn always starts one). */
  switched: readonly boolean[];
  done: readonly boolean[];
  low: readonly number[];
  high: readonly number[];
  term: readonly number[];
}

export interface Decays {
  gamma: number;
  turn: number;
  segment: number;
  /** Whether a value stands in for what lies beyond an end that is cut off. */
  bootstrap: boolean;
}

/** Advantages and return targets; those of options are 0 off the boundaries. */
export interface Credits {
  low: number[];
  high: number[];
  term: number[];
  returnLow: number[];
  returnHigh: number[];
  returnTerm: number[];
}

export function hierarchicalGae(turns: Turns, decays: Decays): Credits {
  const { reward, switched, done, low, high, term } = turns;
  const { gamma, bootstrap } = decays;
  const n = reward.length;
  const zeros = (): number[] => new Array<number>(n).fill(0);
  const out: Credits = {
    low: zeros(),
    high: zeros(),
    term: zeros(),
    returnLow: zeros(),
    returnHigh: zeros(),
    returnTerm: zeros(),
  };
  const first = (j: number): boolean => j === 0 || switched[j];
  const startOf = (j: number): number => (first(j) ? j : startOf(j - 1));
  let carry = 0;
  let next: { value: number; advantage: number } | undefined;
  let segment = { total: 0, discount: 1, ahead: 0 };
  let termination = 0;
  for (let j = n - 1; j >= 0; j--) {
    const live = done[j] ? 0 : 1;
    const last = j === n - 1 || first(j + 1);
    if (last) {
      const beyond = next ? next.value : bootstrap ? high[startOf(j)] : 0;
      segment = { total: 0, discount: 1, ahead: live * (beyond + decays.segment * (next?.advantage ?? 0)) };
      termination = live * beyond;
      carry = 0;
    }
    const following = !last ? low[j + 1] : next ? next.value : bootstrap ? low[j] : 0;
    carry = reward[j] + gamma * live * following - low[j] + gamma * decays.turn * live * carry;
    out.low[j] = carry;
    out.returnLow[j] = carry + low[j];
    termination = reward[j] + gamma * termination;
    out.term[j] = termination - term[j];
    out.returnTerm[j] = termination;
    segment.total = reward[j] + gamma * segment.total;
    segment.discount *= gamma;
    if (!first(j)) continue;
    out.returnHigh[j] = segment.total + segment.discount * segment.ahead;
    out.high[j] = out.returnHigh[j] - high[j];
    next = { value: high[j], advantage: out.high[j] };
  }
  return out;
}
