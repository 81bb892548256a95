import { choice, defineRecipe, integer, number } from "../recipe.ts";
import { exp, pow } from "../rl/scalar.ts";

const mean = (x: readonly number[]): number => (x.length === 0 ? 0 : x.reduce((a, b) => a + b, 0) / x.length);

/** Chance that n rollouts of success rate p are not all alike. */
const nonDegenerate = (p: number, n: number): number => Math.max(0, 1 - pow(p, n) - pow(1 - p, n));

export default defineRecipe({
  id: "hill",
  paper: {
    title: "Learning to Hint for Reinforcement Learning",
    source: "repo Andree-9/HiLL: verl/trainer/ppo/hinter_utils.py",
  },
  stage: ["rollout", "reward", "sampler", "pipeline"],
  describe: `When every rollout of a question fails, a second model writes hints. A hint earns more the closer it brings the
question to half solved, and the likelier its successes are without it. This is the hint's reward and the choice of the
group that replaces the dead one; the hinter, its own GRPO step and the hinted rollouts are left out.`,
  formula:
    "reward = ND·exp(min(dbar, 0)/temperature), ND = 1 − pⁿ − (1−p)ⁿ, d_j = mean lp without − mean lp with the hint",
  params: {
    reward_type: choice(
      "transfer_weighted_non_deg",
      ["transfer_weighted_non_deg", "non_deg", "variance"],
      "with the transfer factor, ND alone, or p(1−p)",
    ),
    temperature: number(0.3, "of the transfer factor", { min: 1e-6 }),
    gate_penalty: number(-0.2, "reward of a hint that does not parse or gives the answer away"),
    positive_threshold: number(0.5, "reward above which a rollout is right"),
    M: integer(4, "hints a question: the trainer's", { min: 1 }),
    n: integer(8, "rollouts a hint: the trainer's", { min: 1 }),
  },
  fields: {
    parsed: "raw",
    leak: "raw",
    rewards_by_hint: "raw",
    logp_with_hint: "raw",
    logp_without_hint: "raw",
  },
  trains: {
    refuse: "needs a hinter and hinted rollouts: supply rewards_by_hint and logp_with_hint, logp_without_hint",
  },
  outputs: (c, p) => {
    const shut = c.raw<boolean[]>("parsed").map((parsed, h) => !parsed || c.raw<boolean[]>("leak")[h]);
    const right = c.raw<number[][]>("rewards_by_hint").map((row) => row.map((r) => r > p.positive_threshold));
    const alone = c.raw<number[][][]>("logp_without_hint");
    const reliance = c
      .raw<number[][][]>("logp_with_hint")
      .map((rows, h) => rows.map((lp, j) => mean(alone[h][j]) - mean(lp)));
    const rate = right.map((row) => mean(row.map(Number)));
    const spread = rate.map((share, h) => (shut[h] ? 0 : nonDegenerate(share, right[h].length)));
    const reward = rate.map((share, h) => {
      if (shut[h]) return p.gate_penalty;
      if (share === 0 || share === 1) return 0;
      if (p.reward_type === "variance") return share * (1 - share);
      if (p.reward_type === "non_deg") return spread[h];
      const transfer = mean(reliance[h].filter((_, j) => right[h][j]));
      return spread[h] * exp(Math.min(transfer, 0) / p.temperature);
    });
    const selected = reward.reduce((best, r, h) => (r > reward[best] ? h : best), 0);
    const replace = (spread[selected] ?? 0) > 0;
    return { hint_reliance: reliance, non_degenerate: spread, reward_shaped: reward, selected, replace };
  },
});
