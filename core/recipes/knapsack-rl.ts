import { defineRecipe, integer, none, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { evenly, plans } from "../rl/budget.ts";
import { dualClip } from "../rl/gate.ts";
import { log, pow } from "../rl/scalar.ts";

interface Budget {
  n_low: number;
  n_up: number;
  n_unsolved: number;
  n_solved: number;
  budget_per_prompt: number;
  cost_confidence: number;
  min_count: number;
}

/** V(n; p): chance of a mixed group times what a step on it gains. */
const worth = (n: number, p: number): number => (1 - pow(p, n) - pow(1 - p, n)) * p * (1 - p) * (1 - p);

function split(stats: readonly { success_rate: number; count: number }[], p: Budget) {
  const known = stats.map(({ count }) => count >= p.min_count);
  const rate = stats.map(({ success_rate }, q) => (known[q] ? success_rate : 0));
  const indices = rate.map((_, q) => q);
  const live = indices.filter((q) => rate[q] > 0 && rate[q] < 1);
  const base = (q: number): number => (rate[q] === 0 ? p.n_unsolved : rate[q] === 1 ? p.n_solved : p.n_low);
  const rollouts = indices.map((q) => (known[q] ? base(q) : p.budget_per_prompt));
  const give = (amount: number, to: readonly number[]): void =>
    evenly(amount, to.length).forEach((n, k) => {
      rollouts[to[k]] += n;
    });
  let left = p.budget_per_prompt * stats.length - rollouts.reduce((a, b) => a + b, 0);
  const zero = indices.filter((q) => rate[q] === 0);
  if (left <= 0) return { rate, rollouts, fallback: false };
  if (live.length === 0) {
    if (zero.length > 0) give(left, zero);
    else rollouts.fill(p.budget_per_prompt);
    return { rate, rollouts, fallback: false };
  }
  const need = (q: number): number => log(1 - p.cost_confidence) / log(Math.max(rate[q], 1 - rate[q]));
  const cost = live.reduce((sum, q) => sum + Math.floor(Math.min(p.n_up, need(q))), 0);
  const others = zero.length > 0 ? zero : indices.filter((q) => !live.includes(q));
  // All prompts live: the authors' code divides by zero; here everything goes through the knapsack.
  const fallback = cost < left && others.length > 0;
  if (fallback) {
    give(left - cost, others);
    left = cost;
  }
  const gain = (q: number, k: number): number => (k === 0 ? 0 : worth(p.n_low + k, rate[q]));
  const extra = Array.from({ length: Math.max(0, Math.min(p.n_up - p.n_low, left)) + 1 }, (_, k) => k);
  const best = plans(
    live.map((q) => extra.map((k) => ({ cost: k, value: gain(q, k) }))),
    left,
  ).at(-1)!;
  best.picks.forEach((k, j) => {
    rollouts[live[j]] += k;
  });
  give(left - best.total, live);
  return { rate, rollouts, fallback };
}

export default defineRecipe({
  id: "knapsack-rl",
  paper: {
    title: "Knapsack RL: Unlocking Exploration of LLMs via Optimizing Budget Allocation",
    arxiv: "2509.25849",
    source: "github liziniu/KnapsackRL verl/trainer/ppo/exploration_utils.py",
  },
  stage: ["sampler"],
  describe: `A fixed number of rollouts is split over prompts as a knapsack by what a group of n would be worth. Reads
prompt_stats (success_rate of the last rewards, count) where there are any. Quirk of the
code: no extra rollout is worth 0, not V(n_low). The objective is GRPO on ragged groups, dual clip, token mean, no KL.`,
  formula: "V(n; p) = (1 − pⁿ − (1−p)ⁿ)·p(1−p)²; max Σ_q V(n_q; p_q) with Σ n_q = n̄·M",
  params: {
    budget_per_prompt: integer(8, "mean rollouts a prompt", { min: 1, config: "rolloutsPerPrompt" }),
    n_low: integer(2, "least rollouts of a prompt with mixed outcomes", { min: 0 }),
    n_up: integer(128, "most rollouts of one", { min: 1 }),
    n_unsolved: integer(2, "rollouts of a prompt that always failed", { min: 0 }),
    n_solved: integer(2, "rollouts of a prompt that never failed", { min: 0 }),
    cost_confidence: number(0.9, "confidence of the estimated cost", { min: 0, max: 0.999999 }),
    min_count: integer(8, "rollouts seen from which on the rate is known", { min: 0 }),
    adv_clip: number(5, "advantages are clipped to ± this", { min: 0 }),
    adv_eps: number(1e-6, "added to the group's deviation", { min: 0 }),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.28, "clip range above 1", { min: 0 }),
    clip_c: number(10, "largest ratio that matters for a negative advantage", { min: 1 }),
  },
  trains: { supply: { prompt_stats: "prompt-stats" }, draws: "rollouts" },
  sampler: (c, p) => {
    if (!c.hasRaw("prompt_stats")) return;
    const stats = c.raw<{ success_rate: number; count: number }[]>("prompt_stats");
    const { rate, rollouts, fallback } = split(stats, p);
    const value = rollouts.map((n, q) => worth(n, rate[q]));
    c.output("rollouts", rollouts);
    c.output("fallback", fallback);
    c.output("value_at_budget", value);
    c.output(
      "objective",
      value.reduce((a, b) => a + b, 0),
    );
  },
  advantage: (c, p) =>
    c.has("reward")
      ? zScore(c.reward, c.group, { eps: p.adv_eps }).clamp(-p.adv_clip, p.adv_clip)
      : c.number(0, c.trajectory),
  gate: (c, ratio, p) => dualClip(c, ratio, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }, p.clip_c),
  kl: none,
  aggregate: tokenMean,
});
