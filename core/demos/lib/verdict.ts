/**
 * @file From numbers by seed to a verdict: means with intervals, what a paper claims about them, and whether it held.
 */
import { mean, standardDeviation } from "../../statistics.ts";

/** A mean with its 95 % confidence interval. */
export interface Interval {
  mean: number;
  low: number;
  high: number;
}

/** Quantiles 0.975 of Student's t with 1, 2, … degrees of freedom (standard tables). */
const T975 = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11,
  2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/**
 * Mean and 95 % interval over seeds, mean ± t·s/√n with Student's t: seeds are few. One value has an interval without
 * end, equal values one without width. Null where a value is missing (NaN).
 */
export function seedInterval(x: readonly number[]): Interval | null {
  const centre = mean(x);
  if (centre === null || x.some((v) => Number.isNaN(v))) return null;
  if (x.length === 1) return { mean: centre, low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY };
  const t = T975[x.length - 2] ?? 1.96 + 2.4 / (x.length - 1);
  const half = (t * standardDeviation(x)) / Math.sqrt(x.length);
  return { mean: centre, low: centre - half, high: centre + half };
}

export type Verdict = "held" | "not held" | "undecided";

/** What a measure came to: both arms, and system − baseline seed by seed. Null where an arm does not have it. */
export interface Compared {
  baseline: Interval | null;
  system: Interval | null;
  difference: Interval | null;
}

/** A paper's claim about one measure. */
export interface Claim {
  /** as the table says it */
  text: string;
  verdict(row: Compared): Verdict;
}

/** Held where the whole interval is on the claimed side of the bound, not held where its mean is on the other side. */
function side(interval: Interval | null, bound: number, sign: 1 | -1): Verdict {
  if (!interval) return "undecided";
  const nearest = sign > 0 ? interval.low : interval.high;
  if (sign * (nearest - bound) > 0) return "held";
  return sign * (interval.mean - bound) > 0 ? "undecided" : "not held";
}

/** The system is above the baseline, by more than `margin`. */
export const higher = (margin = 0): Claim => ({
  text: margin === 0 ? "higher" : `higher by ${margin}`,
  verdict: ({ difference }) => side(difference, margin, 1),
});

/** The system is below the baseline, by more than `margin`. */
export const lower = (margin = 0): Claim => ({
  text: margin === 0 ? "lower" : `lower by ${margin}`,
  verdict: ({ difference }) => side(difference, -margin, -1),
});

/** Above the baseline by more than this share of the baseline's mean. */
export const higherByShare = (share: number): Claim => ({
  text: `higher by ${100 * share} %`,
  verdict: ({ baseline, difference }) => side(difference, share * Math.abs(baseline?.mean ?? 0), 1),
});

/** Not inferior: at most `margin` below the baseline; not held where the interval is wholly below that. */
export const noWorse = (margin: number): Claim => ({
  text: `no worse than by ${margin}`,
  verdict: ({ difference }) => within(difference, -margin, Number.POSITIVE_INFINITY),
});

/** At most `margin` above the baseline. */
export const noHigher = (margin: number): Claim => ({
  text: `no higher than by ${margin}`,
  verdict: ({ difference }) => within(difference, Number.NEGATIVE_INFINITY, margin),
});

/** Alike: at most `margin` from the baseline on either side. */
export const alike = (margin: number): Claim => ({
  text: margin === 0 ? "equal" : `equal to ± ${margin}`,
  verdict: ({ difference }) => within(difference, -margin, margin),
});

/** A number of the system alone lies in [low, high]. */
export const between = (low: number, high: number): Claim => ({
  text:
    low === high
      ? `is ${low}`
      : high === Infinity
        ? `at least ${low}`
        : low === -Infinity
          ? `at most ${high}`
          : `${low} to ${high}`,
  verdict: ({ system }) => within(system, low, high),
});

/** The baseline falls short as the paper says: its number lies in [low, high]. */
export const baselineBetween = (low: number, high: number): Claim => ({
  text: `baseline ${between(low, high).text}`,
  verdict: ({ baseline }) => within(baseline, low, high),
});

function within(interval: Interval | null, low: number, high: number): Verdict {
  if (!interval) return "undecided";
  if (interval.low >= low && interval.high <= high) return "held";
  return interval.mean < low || interval.mean > high ? "not held" : "undecided";
}

/** All of them: one that does not hold is enough, then one that is undecided. */
export function together(verdicts: readonly Verdict[]): Verdict {
  if (verdicts.includes("not held")) return "not held";
  return verdicts.includes("undecided") ? "undecided" : "held";
}
