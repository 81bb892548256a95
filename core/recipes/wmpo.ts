import { choice, defineRecipe, none, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { listsOf } from "../rl/nested.ts";
import type { Vec } from "../rl/vec.ts";

/** Chunks of each episode: up to the first that the classifier calls a success, else all. */
function finishes(c: Context, threshold: number): { step: Vec; success: Vec } {
  const first = listsOf<number[]>(c, "success_prob").map((row) => ({
    n: row.length,
    at: row.findIndex((x) => x >= threshold),
  }));
  return {
    step: c.lift(
      c.trajectory,
      first.map(({ n, at }) => (at < 0 ? n : at + 1)),
    ),
    success: c.flags(
      c.trajectory,
      first.map(({ at }) => at >= 0),
    ),
  };
}

export default defineRecipe({
  id: "wmpo",
  paper: {
    title: "WMPO: World Model-based Policy Optimization for Vision-Language-Action Models",
    source: "github WM-PO/WMPO: verl/trainer/ppo/core_algos.py, ray_trainer.py",
  },
  stage: ["pipeline", "rollout", "filter", "application"],
  describe: `GRPO inside a learned world model: a classifier scores each chunk of an imagined episode, which ends at the first
success; start states that are too easy or too hard are dropped. Tokens after the end (turn: the chunk of each token) are
masked. Quirk: a group of one keeps its raw reward. No KL. World model, classifier and their refreshing are left out;
without success_prob the batch's reward counts.`,
  formula: "R = [some p_chunk ≥ rm_threshold]; keep where the group's mean lies in [lo, hi]; A = (R − μ)/(σ + eps)",
  params: {
    rm_threshold: number(0.96, "probability from which a chunk is a success"),
    accuracy_lower_bound: number(0.1, "least success rate of a start state that is kept"),
    accuracy_upper_bound: number(0.9, "largest"),
    eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    std: choice("sample", ["sample", "population"], "divisor of the variance: n − 1 or n"),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.28, "clip range above 1", { min: 0 }),
  },
  fields: { success_prob: "ragged" },
  reward: (c, p) => {
    if (!c.has("success_prob")) return c.reward;
    const { step, success } = finishes(c, p.rm_threshold);
    c.outputFlags("correct", success);
    c.output("finish_step", step);
    return success;
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.eps, ddof: p.std === "sample" ? 1 : 0, rawSingles: true }),
  filter: (c, p) => {
    const rate = c.reward.meanOver(c.group);
    const keep = rate.inside(p.accuracy_lower_bound, p.accuracy_upper_bound).to(c.trajectory);
    if (!c.has("success_prob") || !c.has("turn")) return { keep, leftOut: true };
    const before = c.field("turn").lt(finishes(c, p.rm_threshold).step);
    return { keep, keepToken: before, leftOut: true };
  },
  kl: none,
  aggregate: tokenMean,
  trains: { refuse: "needs episodes in a world model: supply success_prob, a classifier's score of each chunk" },
});
