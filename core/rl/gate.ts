/**
 * @file Gates: from ratio and advantage to the loss of an element, limiting how far one step can move it.
 *
 * Every gate returns what is minimised. On a tie the unclipped branch rules, so that its gradient stays.
 *
 * Degenerate cases: an advantage of 0 gives loss and derivative 0. A ratio beyond all bounds gives −(1 + hi)·A where
 * A > 0; where A < 0 it gives ratio·|A|, large but finite (ratios saturate at e^300), and dualClip at most dual·|A|.
 */
import type { Context } from "./context.ts";
import { ALL } from "./level.ts";
import type { Numeric, Vec } from "./vec.ts";

export interface ClipRange {
  /** ε_lo: the ratio is clipped below 1 − lo. */
  lo: Numeric;
  /** ε_hi: and above 1 + hi. */
  hi: Numeric;
}

const floorOf = ({ lo }: ClipRange): Numeric => (typeof lo === "number" ? 1 - lo : lo.not());
const ceilingOf = ({ hi }: ClipRange): Numeric => (typeof hi === "number" ? 1 + hi : hi.add(1));

/** −min(ρA, clip(ρ, 1−lo, 1+hi)·A) (PPO, arXiv 1707.06347). Reports the clip fractions by side. */
export function ppoClip(c: Context, ratio: Vec, advantage: Vec, range: ClipRange): Vec {
  reportClip(c, ratio, advantage, range);
  return ratio.surrogate(advantage, floorOf(range), ceilingOf(range)).neg();
}

/** PPO clip, and for A < 0 never more than −dual·A: the ratio has no effect above `dual` (arXiv 1912.09729). */
export function dualClip(c: Context, ratio: Vec, advantage: Vec, range: ClipRange, dual: number): Vec {
  const loss = ppoClip(c, ratio, advantage, range);
  return advantage.lt(0).where(loss.min(advantage.mul(-dual)), loss);
}

/** −sg(clip(ρ, lo, hi))·A·lp: the clipped ratio is only a weight, no token loses its gradient (CISPO, arXiv 2506.13585). */
export function weightedScore(c: Context, ratio: Vec, advantage: Vec, lo: number | null, hi: number | null): Vec {
  c.report("cispo_clip_ratio", () =>
    c.meanTrained((hi === null ? c.number(0, ratio.level) : ratio.gt(hi)).mul(advantage.gt(0))),
  );
  return ratio.clamp(lo, hi).stop().mul(advantage).mul(c.logp).neg();
}

/** −A·lp, no ratio: REINFORCE. */
export function score(c: Context, advantage: Vec): Vec {
  return advantage.mul(c.logp).neg();
}

/** −A·(4/τ)·σ(τ(ρ−1)), τ by the sign of A: a soft gate whose slope at ρ = 1 is that of −Aρ (SAPO, arXiv 2511.20347). */
export function softGate(ratio: Vec, advantage: Vec, tauPositive: number, tauNegative: number): Vec {
  const tau = advantage.gt(0).where(tauPositive, tauNegative);
  return ratio.sub(1).mul(tau).sigmoid().mul(advantage).mul(tau.graph.full(tau.level, 4).div(tau)).neg();
}

/** p − q: how far the probability of each token has moved from the policy with log-probabilities `from`; no gradient. */
export function probabilityMove(c: Context, from: Vec): Vec {
  return c.logp.stop().exp().sub(from.exp());
}

/** 1 where the token's probability has moved no further than lo or hi in the direction its advantage pushes (DPPO). */
export function probabilityTrust(c: Context, from: Vec, { lo, hi }: { lo: number; hi: number }): Vec {
  const move = probabilityMove(c, from);
  return c.advantage.gt(0).where(move.le(hi), move.ge(-lo));
}

/** Share of elements whose gradient the clip removes, by side, under TRL's names. */
export function reportClip(c: Context, ratio: Vec, advantage: Vec, range: ClipRange): void {
  if (!c.wantsMetrics) return;
  const low = share(c, ratio.stop().lt(floorOf(range)), advantage.lt(0));
  const high = share(c, ratio.stop().gt(ceilingOf(range)), advantage.gt(0));
  c.report("clip_ratio/low_mean", low);
  c.report("clip_ratio/high_mean", high);
  c.report("clip_ratio/region_mean", low.add(high));
  c.report("ratio", c.meanTrained(ratio.stop()));
}

/** Mean of where·side over trained tokens; a side over a coarser level multiplies its sums, not every token. */
function share(c: Context, where: Vec, side: Vec): Vec {
  if (where.level !== c.token || side.level === c.token || !c.token.find(side.level)) {
    return c.meanTrained(where.mul(side));
  }
  return where.mul(c.mask).sumOver(side.level).mul(side).sumOver(ALL).div(c.mask.sumOver(ALL));
}
