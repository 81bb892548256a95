/**
 * @file Discriminative objectives (DisCO, arXiv 2505.12366): scores of right against wrong answers, and the constraint
 * that keeps the policy near the rollouts' in place of a clip.
 */
import type { Context } from "./context.ts";
import { klEstimate } from "./kl.ts";
import { ALL } from "./level.ts";
import { tokenRatio } from "./ratio.ts";
import type { Vec } from "./vec.ts";

/** Score of each trajectory: the mean over its trained tokens of lp ("logl") or of the ratio ("lratio"). */
export function meanScore(c: Context, kind: "logl" | "lratio"): Vec {
  return (kind === "logl" ? c.logp : tokenRatio(c)).meanOver(c.trajectory, c.mask);
}

/** 1 for trajectories of reward exactly 1 (right) and exactly 0 (wrong), and for the groups that have both (live). */
export function rightAndWrong(c: Context): { right: Vec; wrong: Vec; live: Vec } {
  const right = c.reward.eq(1);
  const wrong = c.reward.eq(0);
  return { right, wrong, live: right.maxOver(c.group).and(wrong.maxOver(c.group)) };
}

/**
 * sg(max(beta·(K − delta), 0))·K, the gradient of a squared hinge, K the mean over trained tokens of lp_old − lp ("kl")
 * or of ρ − ln ρ − 1 ("low_var_kl"). Outputs K as `kl`.
 */
export function hingeConstraint(c: Context, kind: "kl" | "low_var_kl", beta: number, delta: number): Vec {
  const d = c.logpOld.sub(c.logp);
  const k = klEstimate(d, kind === "kl" ? "k1" : "k3").meanOver(ALL, c.mask);
  c.output("kl", k);
  return k.sub(delta).mul(beta).max(0).stop().mul(k);
}
