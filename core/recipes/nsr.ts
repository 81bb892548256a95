import { choice, defineRecipe, flag, number } from "../recipe.ts";
import { AGGREGATIONS, type Aggregation, aggLoss, reduced } from "../rl/aggregate.ts";
import type { Context } from "../rl/context.ts";
import { ppoClip } from "../rl/gate.ts";
import { gradients } from "../rl/grad.ts";
import { tokenRatio } from "../rl/ratio.ts";
import type { Vec } from "../rl/vec.ts";

const MODES = ["positive", "negative", "weighted"] as const;
type Mode = (typeof MODES)[number];

interface Form {
  mode: Mode;
  lambda_psr: number;
  eps_lo: number;
  eps_hi: number;
  agg: Aggregation;
}

/** The rows that a mode keeps (1 or 0) and their advantage, over trajectories. */
function rows(c: Context, { mode, lambda_psr }: Form): { keep: Vec; advantage: Vec } {
  const right = c.reward.gt(0);
  if (mode === "weighted") return { keep: c.number(1, c.trajectory), advantage: right.where(lambda_psr, -1) };
  return mode === "positive" ? { keep: right, advantage: right } : { keep: right.not(), advantage: right.sub(1) };
}

function lossOf(c: Context, form: Form): Vec {
  const { keep, advantage } = rows(c, form);
  const loss = ppoClip(c, tokenRatio(c), advantage.to(c.token), { lo: form.eps_lo, hi: form.eps_hi });
  // Of the three forms that are compared, the batch's own filter is that of one.
  const kept = c.mask.mul(keep);
  return aggLoss({ ...reduced(c, keep), kept, counted: kept }, loss, form.agg);
}

export default defineRecipe({
  id: "nsr",
  paper: { title: "The Surprising Effectiveness of Negative Reinforcement in LLM Reasoning", arxiv: "2506.01347" },
  stage: ["advantage", "filter"],
  describe: `Rewards of 0 or 1 taken apart: positive keeps the right rows (A = 1), negative the wrong ones (A = −1),
weighted all, the right ones with A = lambda_psr. No baseline, no deviation, no KL; the token mean counts kept rows only.
compare outputs keep, advantage, loss and dlogp of all three forms beside the one that is trained. A return is the reward
at every token, so gamma other than 1 is not in the released code and refused.`,
  formula: "A = lambda·[R > 0] − [R = 0]; loss = Σ_kept m·[−min(ρA, clip(ρ)A)] / Σ_kept m",
  params: {
    mode: choice("weighted", MODES, "which of the three forms is trained"),
    lambda_psr: number(0.1, "weighted: advantage of a right row"),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    agg: choice("token-mean", AGGREGATIONS, "over the kept rows' tokens"),
    gamma: number(1, "discount of a token", { min: 1, max: 1 }),
    compare: flag(true, "output all three forms"),
  },
  advantage: (c, p) => rows(c, p).advantage,
  filter: (c, p) => ({ keep: rows(c, p).keep, leftOut: true }),
  loss: (c, p) => {
    for (const mode of p.compare ? MODES : []) {
      const { keep, advantage } = rows(c, { ...p, mode });
      const loss = lossOf(c, { ...p, mode });
      c.output(mode, {
        keep: [...keep.values()].map((x) => x === 1),
        advantage: [...advantage.values()],
        loss: loss.value(),
        dlogp: c.batch.nest(c.token, gradients(loss, [c.logp])[0].values()),
      });
    }
    return lossOf(c, p);
  },
});
