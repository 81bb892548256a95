/**
 * @file What an evaluation says of n samples a prompt: unbiased pass@k and the expectation of maj@k, both over all
 * subsets of k samples, so that neither depends on the order of the samples or on a bootstrap.
 */

import { CohortError } from "./errors.ts";
import type { DataMetrics, Metric } from "./log.ts";
import { mean, meanInterval } from "./statistics.ts";

function checkCounts(where: string, n: number, k: number): void {
  if (!Number.isInteger(n) || !Number.isInteger(k) || k < 1 || k > n) {
    throw new CohortError("bad-input", `${where}: k is ${k} of n = ${n} samples`, "give whole numbers with 1 ≤ k ≤ n");
  }
}

/**
 * The chance that at least one of k samples, drawn without replacement from n of which c are right, is right:
 * 1 − C(n − c, k) / C(n, k), as a product that neither overflows nor cancels (Chen et al., arXiv 2107.03374, section 2.1).
 */
export function passAtK(n: number, c: number, k: number): number {
  checkCounts("passAtK", n, k);
  if (!Number.isInteger(c) || c < 0 || c > n) {
    throw new CohortError("bad-input", `passAtK: c is ${c} of n = ${n} samples`, "give the number of right samples");
  }
  if (n - c < k) return 1;
  let miss = 1;
  for (let i = 0; i < k; i++) miss *= (n - c - i) / (n - i);
  return 1 - miss;
}

const MAX_SAMPLES = 500;

/**
 * The chance that the most frequent answer among k samples, drawn without replacement, is right; ties are broken
 * evenly. Exact: subsets are counted, not drawn.
 *
 * For each height M of the winning answers, counts pairs (subset, right answer of height M) by the number of answers
 * of that height, answer by answer; a pair with t answers of height M is worth 1 / t.
 * @param answers N answers; equal texts vote together
 * @param correct N flags; an answer is right where the first sample that gave it is
 */
export function majAtK(answers: readonly string[], correct: readonly boolean[], k: number): number {
  const n = answers.length;
  checkCounts("majAtK", n, k);
  if (n > MAX_SAMPLES) {
    throw new CohortError("bad-input", `majAtK: ${n} samples a prompt`, `evaluate with at most ${MAX_SAMPLES}`);
  }
  const classes = new Map<string, { count: number; right: boolean }>();
  for (let i = 0; i < n; i++) {
    const held = classes.get(answers[i]);
    if (held) held.count++;
    else classes.set(answers[i], { count: 1, right: correct[i] });
  }
  let worth = 0;
  for (let height = 1; height <= k; height++) {
    const most = Math.floor(k / height);
    const width = most + 1;
    // ways[(size · width + winners) · 2 + chosen]
    let ways = new Float64Array((k + 1) * width * 2);
    ways[0] = 1;
    for (const { count, right } of classes.values()) {
      const next = new Float64Array(ways.length);
      for (let size = 0; size <= k; size++) {
        for (let winners = 0; winners <= most; winners++) {
          for (let chosen = 0; chosen < 2; chosen++) {
            const w = ways[(size * width + winners) * 2 + chosen];
            if (w === 0) continue;
            let choose = 1;
            for (let take = 0; take <= Math.min(count, height, k - size); take++) {
              if (take > 0) choose = (choose * (count - take + 1)) / take;
              const to = (size + take) * width;
              if (take < height) next[(to + winners) * 2 + chosen] += w * choose;
              else if (winners < most) {
                next[(to + winners + 1) * 2 + chosen] += w * choose;
                if (right && chosen === 0) next[(to + winners + 1) * 2 + 1] += w * choose;
              }
            }
          }
        }
      }
      ways = next;
    }
    for (let winners = 1; winners <= most; winners++) worth += ways[(k * width + winners) * 2 + 1] / winners;
  }
  let subsets = 1;
  for (let i = 1; i <= k; i++) subsets = (subsets * (n - k + i)) / i;
  return Math.min(1, worth / subsets);
}

/** The samples of one prompt. */
export interface PromptOutcome {
  readonly correct: readonly boolean[];
  readonly rewards: ArrayLike<number>;
  /** what each completion stands for; without it there is no maj@k */
  readonly answers?: readonly string[];
  /** generated tokens of each */
  readonly lengths?: ArrayLike<number>;
}

/** A completion kept for people to read. */
export interface EvalSample {
  readonly prompt: string;
  readonly completion: string;
  readonly reward: number | null;
  readonly correct: boolean;
}

/** An evaluation; intervals are 95 % over prompts. On a data set nothing is sampled: samplesPerPrompt is 0. */
export interface EvalResult {
  prompts: number;
  samplesPerPrompt: number;
  reward: number | null;
  "completions/mean_length": number | null;
  [estimate: `pass@${number}` | `maj@${number}`]: number;
  [interval: `pass@${number}/interval` | `maj@${number}/interval`]: [low: number, high: number];
  /** of held-out examples of a data set: loss, accuracies, … named as in training */
  metrics?: Partial<DataMetrics> & { loss?: Metric; entropy?: Metric };
  /** some completions, the same prompts in every evaluation of a run */
  samples: EvalSample[];
}

/** k of pass@k and maj@k for n samples: 1, 8 where there are as many, and n. */
export function defaultKs(n: number): number[] {
  return [...new Set([1, 8, n])].filter((k) => k <= n).sort((a, b) => a - b);
}

/**
 * Sums up an evaluation. All prompts have the same number n of samples.
 * @throws CohortError("bad-input") where there is no prompt, or their samples differ in number
 */
export function summarize(
  outcomes: readonly PromptOutcome[],
  samples: EvalSample[] = [],
  ks?: readonly number[],
): EvalResult {
  const n = outcomes[0]?.correct.length ?? 0;
  if (n === 0) throw new CohortError("bad-input", "summarize: there is no sample", "evaluate at least one prompt");
  for (const [index, { correct, rewards, answers }] of outcomes.entries()) {
    if (correct.length !== n || rewards.length !== n || (answers && answers.length !== n)) {
      throw new CohortError(
        "bad-input",
        `summarize: prompt ${index} has ${correct.length} samples, prompt 0 has ${n}`,
        "sample every prompt equally often",
      );
    }
  }
  const result: EvalResult = {
    prompts: outcomes.length,
    samplesPerPrompt: n,
    reward: mean(outcomes.map((o) => mean(o.rewards) ?? 0)),
    "completions/mean_length": outcomes[0].lengths ? mean(outcomes.map((o) => mean(o.lengths ?? []) ?? 0)) : null,
    samples,
  };
  for (const k of ks ?? defaultKs(n)) {
    const pass = meanInterval(outcomes.map((o) => passAtK(n, o.correct.filter(Boolean).length, k)))!;
    result[`pass@${k}`] = pass.mean;
    result[`pass@${k}/interval`] = [Math.max(0, pass.low), Math.min(1, pass.high)];
    if (k === 1 || !outcomes.every((o) => o.answers)) continue;
    const maj = meanInterval(outcomes.map((o) => majAtK(o.answers!, o.correct, k)))!;
    result[`maj@${k}`] = maj.mean;
    result[`maj@${k}/interval`] = [Math.max(0, maj.low), Math.min(1, maj.high)];
  }
  return result;
}
