/**
 * @file Pairs: chosen (w) and rejected (l) completions, the implicit reward h of direct preference losses, and what the
 * reference-free ones use in its place.
 */
import { CohortError } from "../errors.ts";
import type { Context } from "./context.ts";
import { ALL, Level } from "./level.ts";
import type { Vec } from "./vec.ts";

/** For `trains` of a loss over pairs. */
export const NEEDS_PAIRS = {
  data: "pairs",
  refuse:
    "needs pairs of a chosen and a rejected completion, which rollouts do not have: supply the field 'pairs' of a preference data set",
} as const;

export interface Pairs {
  /** One element a pair. */
  level: Level;
  /** [chosen, rejected] as indices of trajectories. */
  list: readonly (readonly [number, number])[];
  /** x of the chosen completion of each pair, from x over trajectories. */
  chosen(x: Vec): Vec;
  rejected(x: Vec): Vec;
}

/** The field `pairs`: [[chosen, rejected], …] as indices of trajectories; or the given list. */
export function pairs(c: Context, list: Pairs["list"] = c.raw<[number, number][]>("pairs")): Pairs {
  const level = new Level("pair", list.length);
  level.link(ALL, { index: new Int32Array(list.length) });
  const side = (k: 0 | 1): Vec => {
    list.forEach((pair, j) => {
      if (!(pair[k] >= 0 && pair[k] < c.trajectory.size)) {
        throw new CohortError(
          "bad-batch",
          `pairs: pair ${j} names trajectory ${pair[k]} of ${c.trajectory.size}`,
          "name trajectories that exist",
        );
      }
    });
    return c.graph.constant(
      level,
      list.map((pair) => pair[k]),
    );
  };
  const [w, l] = [side(0), side(1)];
  return { level, list, chosen: (x) => x.gather(w), rejected: (x) => x.gather(l) };
}

/**
 * Pairs of the rows 2j and 2j + 1: the first is chosen where `firstWon` says so, else the second.
 *
 * @throws CohortError "bad-batch" where there are not two trajectories a flag
 */
export function answersInTurn(c: Context, firstWon: ArrayLike<boolean | number>): Pairs {
  if (c.trajectory.size !== 2 * firstWon.length) {
    throw new CohortError(
      "bad-batch",
      `answersInTurn: ${c.trajectory.size} trajectories for ${firstWon.length} judgements`,
      "give two answers in turn for each judgement",
    );
  }
  return pairs(
    c,
    Array.from(firstWon, (won, j) => (won ? [2 * j, 2 * j + 1] : [2 * j + 1, 2 * j])),
  );
}

/** Σ_t m·lp of each completion. */
export function sumLogp(c: Context, logp: Vec = c.logp): Vec {
  return c.mask.mul(logp).sumOver(c.trajectory);
}

/** Mean lp of a completion's trained tokens; 0 where there are none. */
export function meanLogp(c: Context, logp: Vec = c.logp): Vec {
  return sumLogp(c, logp).div(c.trained);
}

/** h_i = Σ_t m (lp − lp_ref): the implicit reward over its beta (DPO, arXiv 2305.18290). */
export function implicitReward(c: Context, logp: Vec = c.logp, reference: Vec = c.logpRef): Vec {
  return sumLogp(c, logp.sub(reference));
}

/** h (or another score over trajectories) of both sides of each pair, and Δ = h_w − h_l. */
export function pairScores(c: Context, h: Vec = implicitReward(c)): { w: Vec; l: Vec; delta: Vec } {
  const { chosen, rejected } = pairs(c);
  const [w, l] = [chosen(h), rejected(h)];
  return { w, l, delta: w.sub(l) };
}

/**
 * Σ_t m·x of both sides of each pair, tokens beyond the shorter side's count of trained ones weighing `tail` (LD-DPO).
 * A completion in several pairs has a length to share with each.
 */
export function sharedSums(c: Context, x: Vec, { level, list }: Pairs, tail: number): { w: Vec; l: Vec } {
  const counts = c.trained.values();
  const mask = c.mask.values();
  const offsets = c.batch.offsets;
  const running = c.mask.mul(x).cumulate(c.trajectory);
  const upTo = (i: number, n: number): number => {
    if (n === 0) return -1;
    let t = offsets[i];
    for (let left = n - mask[t]; left > 0; left -= mask[t]) t++;
    return t;
  };
  const side = (k: 0 | 1, share: number): Vec => {
    const at = list.map((pair) => {
      const n = share === 1 ? counts[pair[k]] : Math.min(counts[pair[0]], counts[pair[1]]);
      return upTo(pair[k], n);
    });
    return running.gather(c.graph.constant(level, at));
  };
  const weighted = (k: 0 | 1): Vec =>
    side(k, 0)
      .mul(1 - tail)
      .add(side(k, 1).mul(tail));
  return { w: weighted(0), l: weighted(1) };
}

/** −(1−ε) ln σ(x) − ε ln σ(−x): the logistic loss where a share ε of the labels is turned. */
export function smoothedLogistic(x: Vec, epsilon: number): Vec {
  const kept = x.logSigmoid().mul(1 - epsilon);
  return epsilon === 0 ? kept.neg() : kept.add(x.neg().logSigmoid().mul(epsilon)).neg();
}

/** −Σ lp / #tokens over all chosen completions together. */
export function chosenNll(c: Context, { chosen }: Pairs): Vec {
  return chosen(sumLogp(c)).sumOver(ALL).div(chosen(c.trained).sumOver(ALL)).neg();
}

/** Mean of a loss over pairs; 0 for no pairs. */
export function pairMean(loss: Vec): Vec {
  return loss.meanOver(ALL);
}
