/**
 * @file Softmax and its soft maximum over the segments of a level, on the elements that a 0/1 vector chooses.
 */
import type { Level } from "./level.ts";
import type { Vec } from "./vec.ts";

/** e^(x − the segment's largest chosen x) on the chosen elements, 0 on the others. */
function shifted(x: Vec, level: Level, where: Vec): { terms: Vec; top: Vec } {
  const top = where.where(x, x.minOver(level)).maxOver(level).stop();
  return { terms: x.sub(top).exp().mul(where), top };
}

/** e^x / Σ e^x over the chosen elements of each segment; 0 on the others. */
export function softmaxOver(x: Vec, level: Level, where: Vec = x.graph.full(x.level, 1)): Vec {
  const { terms } = shifted(x, level, where);
  return terms.div(terms.sumOver(level));
}

/** τ·ln(mean of e^(x/τ)) over the chosen elements of each segment; finite and without derivative where none is chosen. */
export function softMaximum(x: Vec, level: Level, where: Vec, tau: number): Vec {
  const { terms, top } = shifted(x.div(tau), level, where);
  const mean = terms.sumOver(level).div(where.to(x.level).sumOver(level));
  return mean.gt(0).where(mean.log(), 0).add(top).mul(tau);
}

/** Value τ with the derivative of softMaximum, as τ·S/sg(S), S = Σ e^(x/τ): the surrogate of the DisCO authors' code. */
export function softMaximumSurrogate(x: Vec, level: Level, where: Vec, tau: number): Vec {
  const { terms } = shifted(x.div(tau), level, where);
  const sum = terms.sumOver(level);
  return sum.div(sum.stop()).mul(tau);
}
