/**
 * @file What each primitive gives where there is nothing to compute with: a list that the reference pages print and the
 * tests run. Nothing here is read by a recipe.
 */
import { groupMeanTokenMean, seqMeanTokenMean, tokenMean } from "./aggregate.ts";
import { leaveOneOut, whiten, zScore } from "./baseline.ts";
import type { Context } from "./context.ts";
import { gae, returns, tokenReward } from "./credit.ts";
import { largest, mixedGroups, quantileWhere } from "./filter.ts";
import { dualClip, ppoClip } from "./gate.ts";
import { klEstimate } from "./kl.ts";
import { ALL } from "./level.ts";
import { correction } from "./mismatch.ts";
import { levelRatio, tokenRatio } from "./ratio.ts";
import { softmaxOver } from "./softmax.ts";
import type { Vec } from "./vec.ts";

export interface Degenerate {
  primitive: string;
  when: string;
  gives: string;
  compute: (c: Context) => Vec;
  expected: readonly number[];
}

/**
 * The batch that they run on. Trajectories: a group of one; a group of equal rewards, one of its two with no trained
 * token; a pair of which one has no token at all. The one trained token of trajectory 1 has ratio e^1000, the
 * token of trajectory 4 ratio e^−1000.
 */
export const degenerateBatch = {
  group: [0, 1, 1, 2, 2],
  reward: [5, 0.1, 0.1, 0, 1],
  mask: [[1], [1], [0, 0], [], [1]],
  logp: [[-1], [0], [-1, -2], [], [-1000]],
  logp_old: [[-1], [-1000], [-1, -1], [], [0]],
  logp_ref: [[-1], [0], [-1, -1], [], [0]],
  logp_rollout: [[-1], [-1000], [-1, -1], [], [0]],
};

/** e^300, the largest value of an exponential. */
const LARGEST = 1.9424263952412558e130;
const SMALLEST = 5.148200222412014e-131;
const HALF = 0.5 / (Math.SQRT1_2 + 1e-4);
const clip = { lo: 0.2, hi: 0.2 };
const ones = (c: Context): Vec => c.number(1, c.token);

export const degenerateCases: readonly Degenerate[] = [
  {
    primitive: "zScore",
    when: "a group of one, or of equal values",
    gives: "0, exactly: not rounding noise over a small deviation",
    compute: (c) => zScore(c.reward, c.group, { eps: 1e-4 }),
    expected: [0, 0, 0, -HALF, HALF],
  },
  {
    primitive: "zScore, rawSingles",
    when: "a group of one",
    gives: "the value over 1 + eps: mean 0 and deviation 1, as verl",
    compute: (c) => zScore(c.reward, c.group, { eps: 1e-4, rawSingles: true }),
    expected: [5 / (1 + 1e-4), 0, 0, -HALF, HALF],
  },
  {
    primitive: "leaveOneOut",
    when: "a group of one",
    gives: "0: there is no other to compare with",
    compute: (c) => leaveOneOut(c.reward, c.group),
    expected: [0, 0, 0, -1, 1],
  },
  {
    primitive: "whiten",
    when: "tokens without a mask; one trained token in all",
    gives: "0 on them; 0, as the deviation is 0",
    compute: (c) => whiten(c, c.reward.to(c.token).mul(0)),
    expected: [0, 0, 0, 0, 0],
  },
  {
    primitive: "tokenRatio",
    when: "|lp − lp_old| above 300",
    gives: "e^±300: products of two stay finite; the derivative is the value",
    compute: (c) => tokenRatio(c),
    expected: [1, LARGEST, 1, 0.36787944117144233, SMALLEST],
  },
  {
    primitive: "levelRatio",
    when: "a trajectory without a trained token",
    gives: "1",
    compute: (c) => levelRatio(c, c.trajectory, "geometric"),
    expected: [1, LARGEST, 1, 1, SMALLEST],
  },
  {
    primitive: "ppoClip",
    when: "a ratio beyond all bounds, by sign of A",
    gives: "A > 0: −(1 + hi)·A; A < 0: ratio·|A|, large and finite",
    compute: (c) => ppoClip(c, tokenRatio(c), c.number(-1, c.token), clip),
    expected: [1, LARGEST, 1, 0.8, 0.8],
  },
  {
    primitive: "dualClip",
    when: "the same with A < 0",
    gives: "at most dual·|A|, derivative 0 beyond",
    compute: (c) => dualClip(c, tokenRatio(c), c.number(-1, c.token), clip, 3),
    expected: [1, 3, 1, 0.8, 0.8],
  },
  {
    primitive: "klEstimate, k3",
    when: "lp − lp_ref of −1000 and of 0",
    gives: "e^300 (saturated, finite); exactly 0",
    compute: (c) => klEstimate(c.logp.sub(c.logpRef), "k3"),
    expected: [0, 0, 0, 1.718281828459045 - 1, LARGEST],
  },
  {
    primitive: "tokenMean",
    when: "no counted token in the batch",
    gives: "0, with derivative 0",
    compute: (c) => tokenMean({ ...counting(c), kept: c.number(0, c.token), counted: c.number(0, c.token) }, ones(c)),
    expected: [0],
  },
  {
    primitive: "seqMeanTokenMean",
    when: "trajectories without a counted token",
    gives: "they add 0 and count in N (nonEmpty: they do not)",
    compute: (c) => seqMeanTokenMean(counting(c), ones(c)),
    expected: [3 / 5],
  },
  {
    primitive: "groupMeanTokenMean",
    when: "groups without a counted token",
    gives: "they are not counted",
    compute: (c) => groupMeanTokenMean(counting(c), ones(c).mul(c.reward)),
    expected: [(5 + 0.1 + 1) / 3],
  },
  {
    primitive: "returns",
    when: "tokens that are not trained",
    gives: "they are stepped over and have 0",
    compute: (c) => returns(c, tokenReward(c)),
    expected: [5, 0.1, 0, 0, 1],
  },
  {
    primitive: "gae",
    when: "a trajectory without a trained token",
    gives: "0 everywhere",
    compute: (c) => gae(c, tokenReward(c), c.number(0.1, c.token), 1, 1).advantage,
    expected: [4.9, 0, 0, 0, 0.9],
  },
  {
    primitive: "mixedGroups",
    when: "a group of one",
    gives: "dropped, as one of equal rewards (keepSingles: kept)",
    compute: (c) => mixedGroups(c, c.reward),
    expected: [0, 0, 0, 1, 1],
  },
  {
    primitive: "quantileWhere",
    when: "nothing chosen",
    gives: "0",
    compute: (c) => quantileWhere(c, c.reward, c.number(0, c.trajectory), 0.5),
    expected: [0],
  },
  {
    primitive: "largest",
    when: "fewer than n, or ties",
    gives: "all of them; the earlier first",
    compute: (c) => largest(c, c.reward, 1, c.group),
    expected: [1, 1, 0, 0, 1],
  },
  {
    primitive: "softmaxOver",
    when: "no element chosen in a segment",
    gives: "0 on all of it",
    compute: (c) => softmaxOver(c.logp, c.trajectory, c.mask),
    expected: [1, 1, 0, 0, 1],
  },
  {
    primitive: "correction (importance weights)",
    when: "tokens without a mask; extreme log-ratios",
    gives: "weight 0; log-ratios are clamped to ±20 first",
    compute: (c) => correction(c, { level: "token", bound: (w) => w.min(2) }).weight,
    expected: [1, 1, 0, 0, 1],
  },
  {
    primitive: "Vec.div",
    when: "a divisor of 0",
    gives: "0, with derivative 0",
    compute: (c) => c.reward.div(c.number(0, c.trajectory)),
    expected: [0, 0, 0, 0, 0],
  },
  {
    primitive: "Vec.meanOver, sumOver, maxOver, minOver",
    when: "an empty segment",
    gives: "0",
    compute: (c) => c.logp.maxOver(c.trajectory),
    expected: [-1, 0, -1, 0, -1000],
  },
  {
    primitive: "Vec.varOver",
    when: "no more elements than ddof",
    gives: "0",
    compute: (c) => c.reward.varOver(c.group, { ddof: 1 }),
    expected: [0, 0, 0.5],
  },
  {
    primitive: "Vec.othersMeanOver",
    when: "a segment of one",
    gives: "0",
    compute: (c) => c.reward.othersMeanOver(c.group),
    expected: [0, 0.1, 0.1, 1, 0],
  },
  {
    primitive: "Vec.quantileOver",
    when: "an empty segment",
    gives: "0",
    compute: (c) => c.logp.quantileOver(c.trajectory, 0.5),
    expected: [-1, 0, -1.5, 0, -1000],
  },
  {
    primitive: "Vec.log, logSumExpOver",
    when: "0 or less; an empty segment",
    gives: "ln 2^-1022 = −708.4, with derivative 0",
    compute: (c) => c.number(0, ALL).add(c.logp.maxOver(ALL)).log(),
    expected: [-708.3964185322641],
  },
  {
    primitive: "Vec.sqrt",
    when: "less than 0; the derivative at 0",
    gives: "0; 0",
    compute: (c) => c.logp.sqrt(),
    expected: [0, 0, 0, 0, 0],
  },
];

function counting(c: Context) {
  const { kept, counted, token, trajectory, group } = c;
  return { kept, counted, token, trajectory, group, number: c.number.bind(c) };
}

/** The list as a table in Markdown. */
export function degenerateTable(): string {
  const cell = (text: string) => text.replaceAll("|", "\\|");
  const rows = degenerateCases.map((row) => `| ${[row.primitive, row.when, row.gives].map(cell).join(" | ")} |`);
  return ["| Primitive | Where | It gives |", "| --- | --- | --- |", ...rows, ""].join("\n");
}
