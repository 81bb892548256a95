/**
 * @file Gate weights of a mixture-of-experts layer, with the chosen experts computed or replayed.
 */
import type { Context } from "./context.ts";
import { logSumExpWhere } from "./distill.ts";
import { logSoftmax } from "./entropy.ts";
import { largest } from "./filter.ts";
import type { Vec } from "./vec.ts";

export interface Gating {
  /** Softmax over the chosen, softmax over all taken at the chosen, or normalised sigmoids. */
  scores: "softmax-after" | "softmax-before" | "sigmoid";
  top_k: number;
  /** The model's scaling factor. */
  scale: number;
}

/**
 * Gate weights over (token, expert) from `router_logits`, 0 at experts that are not chosen. With `replayed` the choice is
 * that of `routed_experts`, a list of ids a token; where that is null, and without `replayed`, the top_k largest logits.
 * The choice has no derivative.
 */
export function gateWeights(c: Context, replayed: boolean, { scores, top_k, scale }: Gating): Vec {
  const s = c.field("router_logits");
  const usual = largest(c, s, top_k, c.token);
  const chosen = replayed ? withStored(c, usual) : usual;
  if (scores === "softmax-before") return logSoftmax(s, c.token).exp().mul(chosen).mul(scale);
  if (scores === "softmax-after") {
    const over = chosen.where(s.sub(logSumExpWhere(s, c.token, chosen)), 0);
    return over.exp().mul(chosen).mul(scale);
  }
  const open = s.sigmoid().mul(chosen);
  const sum = open.sumOver(c.token).add(1e-20);
  return chosen.sumOver(c.token).gt(1).where(open.div(sum), open).mul(scale);
}

/** The usual choice, replaced at tokens that have stored ids. */
function withStored(c: Context, usual: Vec): Vec {
  const offsets = usual.level.edge(c.token).offsets as Int32Array;
  const chosen = usual.values();
  c.raw<(number[] | null)[][]>("routed_experts")
    .flat()
    .forEach((ids, t) => {
      if (!ids) return;
      chosen.fill(0, offsets[t], offsets[t + 1]);
      for (const id of ids) if (id >= 0 && offsets[t] + id < offsets[t + 1]) chosen[offsets[t] + id] = 1;
    });
  return c.lift(usual.level, chosen);
}
