import { choice, defineRecipe, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { greedyMatching, sinkhorn } from "../rl/assignment.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { jaccard } from "../rl/text.ts";
import { trainedRuns } from "../rl/turns.ts";
import type { Vec } from "../rl/vec.ts";

interface Calls {
  unmatched: number;
  assign: string;
  sinkhorn_reg: number;
}

type Arguments = Record<string, unknown>;

/** (1 + Jaccard of argument names + equal values)/(2 + arguments of the reference); 0 for another tool. */
function similarity(name: string, given: Arguments, wanted: { name: string; parameters: Arguments }): number {
  if (name.toLowerCase() !== wanted.name.toLowerCase()) return 0;
  const [ours, theirs] = [Object.keys(given), Object.keys(wanted.parameters)];
  const names = ours.length + theirs.length === 0 ? 1 : jaccard(new Set(ours), new Set(theirs));
  const equal = theirs.filter((k) => k in given && canonical(given[k]) === canonical(wanted.parameters[k])).length;
  return (1 + names + equal) / (2 + theirs.length);
}

/** JSON with sorted keys, so that equal values have equal text. */
const canonical = (x: unknown): string =>
  JSON.stringify(x, (_, v) =>
    v && typeof v === "object" && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1)))
      : v,
  );

/** Rewards of the predicted calls, and of the turns (the last one answers). */
function matched(c: Context, p: Calls): { calls: number[]; turns: number[] } {
  const wanted = c.raw<{ name: string; parameters: Arguments }[]>("gt_calls");
  const predicted = c.raw<{ name: string; arguments: Arguments }[]>("pred_calls");
  const scores = predicted.map((call) => wanted.map((other) => similarity(call.name, call.arguments, other)));
  const match = greedyMatching(scores);
  const soft = p.assign === "sinkhorn" ? sinkhorn(scores, p.sinkhorn_reg) : undefined;
  const calls = scores.map((row, i) => {
    if (soft) return row.reduce((sum, s, j) => sum + s * soft[i][j], 0);
    return match[i] >= 0 ? row[match[i]] : p.unmatched;
  });
  const at = c.raw<number[]>("pred_turn");
  const turns = Array.from({ length: c.raw<number>("turns") }, (_, k) => {
    const own = calls.filter((_, i) => at[i] === k);
    return own.length === 0 ? 0 : own.reduce((a, b) => a + b, 0) / own.length;
  });
  if (turns.length > 0) turns[turns.length - 1] = c.raw<number>("answer_f1");
  return { calls, turns };
}

/** (Z + z)/2: the sum over turns against the group, and each turn's discounted rest against the same turn of others. */
function dual(c: Context, reward: Vec, gamma: number, eps: number): Vec {
  const run = trainedRuns(c);
  const trained = c.mask.maxOver(run).gt(0);
  const earned = reward.mul(c.mask).sumOver(run);
  const total = zScore(earned.sumOver(c.trajectory), c.group, { eps, rawSingles: true });
  const rest = earned.recur(c.trajectory, "backward", trained.mul(gamma).add(trained.not()));
  const sameTurn = c.keyed("turn of prompt", run, run.edge(c.group).index, trained.cumulate(c.trajectory).values());
  const local = zScore(rest, sameTurn, { eps, rawSingles: true, weight: trained });
  return local.add(total).mul(0.5).to(c.token).mul(c.mask);
}

export default defineRecipe({
  id: "matchtir",
  paper: {
    title: "MatchTIR: Fine-Grained Supervision for Tool-Integrated Reasoning via Bipartite Matching",
    source: "repo quchangle1/MatchTIR: Code/verl/trainer/ppo/core_algos.py",
  },
  stage: ["reward", "advantage"],
  describe: `Every turn of a tool user is paid by how well its calls match a reference trace, one to one; the advantage joins
a comparison of whole trajectories with one of equal turns (runs of trained tokens). Quirks of the code: the matching that
the paper calls Hungarian is greedy, and what stands alone keeps its raw value. Running the tools is left out.`,
  formula: "A = (z_g(Σ_k u_k) + z_{g,k}(Σ_{l≥k} gamma_turn^{l−k} u_l))/2; call reward S = (1 + J + V)/(2 + n_q)",
  params: {
    gamma_turn: number(0.9, "discount of a turn", { min: 0, max: 1 }),
    eps: number(1e-6, "added to deviations", { min: 0 }),
    std: choice("unbiased", ["unbiased"], "deviation with divisor n − 1"),
    unmatched: number(0, "reward of a call without a match"),
    assign: choice("greedy-desc", ["greedy-desc", "sinkhorn"], "one to one, or entropic transport"),
    sinkhorn_reg: number(0.1, "regulariser of the transport", { min: 1e-6 }),
    beta: number(0.001, "coefficient of the k3 penalty to the reference", { min: 0 }),
  },
  fields: { pred_calls: "raw", pred_turn: "raw", gt_calls: "raw", turns: "raw", answer_f1: "raw" },
  trains: {
    refuse: "needs tool turns scored against a reference trace: supply reward_token on each turn's last token",
  },
  sampler: (c, p) => {
    if (!c.hasRaw("pred_calls")) return;
    const { calls, turns } = matched(c, p);
    c.output("call_reward", calls);
    c.output("turn_reward", turns);
  },
  advantage: (c, p) =>
    c.has("reward_token") ? dual(c, c.field("reward_token"), p.gamma_turn, p.eps) : c.number(0, c.trajectory),
  aggregate: tokenMean,
});
