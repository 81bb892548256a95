import { defineRecipe, flag, list, number } from "../recipe.ts";
import { closestPlan } from "../rl/budget.ts";
import type { Context } from "../rl/context.ts";
import { log } from "../rl/scalar.ts";
import { exploring } from "../rl/simplex.ts";

type ByBin<T> = Record<string, T>;

interface Game {
  eta_q: number;
  gamma: number;
  ema_beta: number;
  norm_by_share: boolean;
  arms: number[];
  mean_rollouts: number;
  alpha_mu: number;
}

const mapBins = <A, B>(bins: ByBin<A>, f: (value: A, bin: string) => B): ByBin<B> =>
  Object.fromEntries(Object.entries(bins).map(([bin, value]) => [bin, f(value, bin)]));

/** S_b after this batch, and which bins were in it. */
function scores(c: Context, p: Game): { ema: ByBin<number>; there: string[] } {
  const bins = c.raw<string[]>("bin");
  const loss = c.raw<number[]>("prompt_loss");
  const ema = { ...(c.state["ema"] as ByBin<number>) };
  const there = [...new Set(bins)].sort();
  for (const bin of there) {
    const own = loss.filter((_, q) => bins[q] === bin);
    const mean = own.reduce((a, b) => a + b, 0) / own.length;
    const seen = p.norm_by_share ? mean / (own.length / bins.length) : mean;
    ema[bin] = bin in ema ? (1 - p.ema_beta) * ema[bin] + p.ema_beta * seen : seen;
  }
  return { ema, there };
}

/** One arm a bin: the likeliest choice whose total of rollouts comes closest to the budget. */
function allocation(
  c: Context,
  p: Game,
): { prob: ByBin<number[]>; rollouts: ByBin<number>; total: number; prompts: number } {
  const count = c.raw<ByBin<number>>("bin_count");
  const score = c.state["arm_score"] as ByBin<number[]>;
  const prob = mapBins(count, (_, bin) => exploring(score[bin] ?? p.arms.map(() => 0), p.eta_q, p.gamma));
  const bins = Object.keys(count);
  const prompts = Object.values(count).reduce((a, b) => a + b, 0);
  const best = closestPlan(
    bins.map((bin) => p.arms.map((n, k) => ({ cost: count[bin] * n, value: log(prob[bin][k]) }))),
    p.mean_rollouts * prompts,
  );
  const { picks } = best;
  return {
    prob,
    rollouts: Object.fromEntries(bins.map((bin, j) => [bin, p.arms[picks[j]]])),
    total: best.total,
    prompts,
  };
}

/** What the loss of each bin in the batch weighs. */
function binWeights(c: Context, p: Game & { max_weight: number }): ByBin<number> {
  const { ema, there } = scores(c, p);
  const seen = there.map((bin) => ema[bin]);
  const mixed = exploring(seen, p.eta_q, p.gamma);
  return Object.fromEntries(there.map((bin, k) => [bin, Math.min(mixed[k], p.max_weight)]));
}

export default defineRecipe({
  id: "gdro-rl",
  paper: {
    title: "Group Distributionally Robust Optimization-Driven Reinforcement Learning for LLM Reasoning",
    arxiv: "2601.19280",
    source: "github kishanpb/verl-gdro verl/trainer/group_dro_grpo.py",
  },
  stage: ["sampler", "advantage"],
  describe: `Two adversarial games over bins of difficulty: one weighs the loss of bins where the policy does badly, the
other moves rollouts to bins under a fixed mean. Left out: the bins by running pass rate with hysteresis, the focus
schedule, and the arms' rewards, which come after the rollouts. The weight multiplies the advantages of the bin's rows.
State: ema (by bin), arm_score (by bin, one an arm), mu.`,
  formula: "w_b = (1−γ)·softmax(eta_q·S)_b + γ/K; n = argmax Σ_b log prob_b(n_b) with Σ_b count_b n_b = n̄·P",
  params: {
    eta_q: number(0.65, "step of both games"),
    gamma: number(0.01, "share of exploration", { min: 0, max: 1 }),
    max_weight: number(15, "cap of a weight", { min: 0 }),
    ema_beta: number(0.12, "share of the new loss in S", { min: 0, max: 1 }),
    norm_by_share: flag(true, "divide a bin's loss by its share of the batch"),
    arms: list([2, 3, 4, 6, 8], "rollouts that a bin may have", { min: 0 }),
    mean_rollouts: number(4, "mean rollouts a prompt", { min: 0, config: "rolloutsPerPrompt" }),
    mu: number(0, "first dual price"),
    alpha_mu: number(0.05, "step of the dual price", { min: 0 }),
  },
  fields: { bin: "raw", prompt_loss: "raw", bin_count: "raw" },
  trains: {
    supply: { bin: "difficulty-bin", prompt_loss: "failure", bin_count: "bin-sizes" },
    draws: "rollouts",
  },
  state: {
    init: (p) => ({ ema: {}, arm_score: {}, mu: p.mu }),
    update: (c, p) => {
      const { total, prompts } = allocation(c, p);
      const mu = (c.state["mu"] as number) + p.alpha_mu * (prompts > 0 ? total / prompts - p.mean_rollouts : 0);
      return { ...c.state, ema: scores(c, p).ema, mu };
    },
  },
  option: true,
  sampler: (c, p) => {
    const { prob, rollouts, total } = allocation(c, p);
    const [bins, weight] = [c.raw<string[]>("bin"), binWeights(c, p)];
    const sample_weight = bins.map((bin) => weight[bin]);
    const prompt_rollouts = bins.map((bin) => rollouts[bin]);
    const all = { weight, sample_weight, arm_prob: prob, rollouts, rollouts_total: total, prompt_rollouts };
    for (const [name, value] of Object.entries(all)) c.output(name, value);
  },
  weight: (c, p) => {
    const weight = binWeights(c, p);
    const own = c.raw<string[]>("bin").map((bin) => weight[bin]);
    return own.length === c.group.size ? c.lift(c.group, own).to(c.trajectory) : c.number(1, c.trajectory);
  },
});
