import { defineRecipe, flag, list, number } from "../recipe.ts";
import type { Context } from "../rl/context.ts";
import { ALL, Level } from "../rl/level.ts";
import { NEEDS_PAIRS, pairs, smoothedLogistic, sumLogp } from "../rl/preference.ts";
import { exp } from "../rl/scalar.ts";
import type { Vec } from "../rl/vec.ts";

interface Given {
  beta: number;
  ipo: boolean;
  step_size: number;
  divide_by_totalcount: boolean;
  group_counts: number[];
  adj: number;
  label_smoothing: number;
}

const rewards = (c: Context): Vec =>
  (c.optional("seq_logp") ?? sumLogp(c)).sub(c.optional("seq_logp_ref") ?? sumLogp(c, c.logpRef));

/** Loss of each pair and of each group of labellers, and the group weights after this step. */
function losses(c: Context, p: Given): { pair: Vec; group: Vec; q: number[] } {
  const { level, chosen, rejected } = pairs(c);
  const labeller = c.hasRaw("pair_group") ? c.raw<number[]>("pair_group") : new Array<number>(level.size).fill(0);
  const size = Math.max(1, p.group_counts.length, ...labeller.map((g) => g + 1));
  const groups = new Level("labellers", size);
  level.link(groups, { index: Int32Array.from(labeller) });
  const h = chosen(rewards(c)).sub(rejected(rewards(c)));
  const pair = p.ipo ? h.sub(1 / (2 * p.beta)).square() : smoothedLogistic(h.mul(p.beta), p.label_smoothing);
  const seen = pair.countOver(groups).values();
  const counts = Array.from(seen, (n, g) => p.group_counts[g] ?? n);
  const total = counts.reduce((a, b) => a + b, 0);
  const share = c.graph.constant(
    groups,
    counts.map((n) => (n > 0 ? total / n : 0)),
  );
  const group = p.divide_by_totalcount ? pair.sumOver(groups).mul(share) : pair.meanOver(groups);
  const before = c.state["q"] as number[];
  const stopped = [...group.stop().values()].map(
    (l, g) => l + (p.adj > 0 && counts[g] > 0 ? p.adj / Math.sqrt(counts[g]) : 0),
  );
  const top = Math.max(...stopped);
  const raised = stopped.map((a, g) => (before[g] ?? 1 / size) * exp(p.step_size * (a - top)));
  const sum = raised.reduce((a, b) => a + b, 0);
  return { pair, group, q: raised.map((w) => (sum > 0 ? w / sum : 1 / size)) };
}

export default defineRecipe({
  id: "grpo-robust",
  paper: {
    title: "Group Robust Preference Optimization in Reward-free RLHF",
    arxiv: "2405.20304",
    source: "github rsshyam/Group-robust-preference-optimization src/loss_utils.py, src/trainers/grouptrainer.py",
  },
  stage: ["preference"],
  describe: `DPO or IPO against the worst group of labellers: the weight of a group rises with its loss, multiplicatively,
and the weighted sum of group losses is minimised. A group that is not in the batch has loss 0. Without pair_group all pairs
are one group; without group_counts the batch's counts stand in. The fixed weighting by 1/N_g is left out. State: q.`,
  formula: "q_g ∝ q_g·exp(eta·sg(l_g)); loss = Σ_g q_g l_g, l_g = N_total·Σ_pairs ℓ/N_g",
  params: {
    beta: number(0.1, "strength of the pull to the reference", { min: 1e-9 }),
    ipo: flag(false, "(h − 1/(2 beta))² in place of the logistic loss"),
    step_size: number(0.01, "eta, step of the weights", { min: 0 }),
    divide_by_totalcount: flag(true, "sums over N_g in place of means over the batch"),
    group_counts: list([], "N_g, pairs of each group in the data set", { min: 0 }),
    adj: number(0, "adj/sqrt(N_g) is added to the loss that moves the weights", { min: 0 }),
    label_smoothing: number(0, "share of turned labels", { min: 0, max: 0.5 }),
  },
  fields: { pair_group: "raw" },
  trains: NEEDS_PAIRS,
  state: {
    init: (p) => ({ q: p.group_counts.map(() => 1 / p.group_counts.length) }),
    step: (c, p) => ({ q: losses(c, p).q }),
  },
  loss: (c, p) => {
    const { pair, group, q } = losses(c, p);
    const { chosen, rejected } = pairs(c);
    const reward = rewards(c).stop().mul(p.beta);
    c.output("pair_loss", pair);
    c.output("group_loss", group);
    c.output("chosen_reward", chosen(reward));
    c.output("rejected_reward", rejected(reward));
    return group.mul(c.lift(group.level, q)).sumOver(ALL);
  },
});
