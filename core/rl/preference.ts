/**
 * @file Pairs: chosen and rejected completions, and the implicit reward h of direct preference losses.
 */
import { CohortError } from "../errors.ts";
import type { Context } from "./context.ts";
import { ALL, Level } from "./level.ts";
import type { Vec } from "./vec.ts";

export interface Pairs {
  /** One element a pair. */
  level: Level;
  /** x of the chosen completion of each pair, from x over trajectories. */
  chosen(x: Vec): Vec;
  rejected(x: Vec): Vec;
}

/** The field `pairs`: [[chosen, rejected], …] as indices of trajectories. */
export function pairs(c: Context): Pairs {
  const list = c.raw<[number, number][]>("pairs");
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
  return { level, chosen: (x) => x.gather(w), rejected: (x) => x.gather(l) };
}

/** h_i = Σ_t m (lp − lp_ref): the implicit reward over its beta (DPO, arXiv 2305.18290). */
export function implicitReward(c: Context): Vec {
  return c.mask.mul(c.logp.sub(c.logpRef)).sumOver(c.trajectory);
}

/** Mean of a loss over pairs; 0 for no pairs. */
export function pairMean(loss: Vec): Vec {
  return loss.meanOver(ALL);
}
