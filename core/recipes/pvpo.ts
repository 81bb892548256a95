import { choice, defineRecipe, number } from "../recipe.ts";
import { AGGREGATIONS, aggregate } from "../rl/aggregate.ts";
import { KL_KINDS, klPenalty, klToReference } from "../rl/kl.ts";

const mean = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0) / Math.max(1, list.length);

export default defineRecipe({
  id: "pvpo",
  paper: { title: "PVPO: Pre-Estimated Value-Based Policy Optimization for Agentic Reasoning", arxiv: "2508.21104" },
  stage: ["advantage", "filter", "sampler"],
  describe: `The baseline of a prompt is the mean reward of rollouts that the reference model made beforehand (reward_ref: by
group index), not of the group, so a group of equal rewards keeps a signal and a group of one works; no deviation.
presample says of each pre-sampled prompt drop (all right), keep, or inject (none right: put in a larger model's solution).`,
  formula: "A_i = R_i − mean(reward_ref of the prompt); PPO clip + beta·k3",
  params: {
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    beta: number(0.001, "coefficient of the penalty to the reference (not stated in what was read)", { min: 0 }),
    agg: choice("seq-mean-token-mean", AGGREGATIONS, "from token losses to the loss"),
    kl: choice("k3", KL_KINDS, "estimator of the penalty"),
  },
  fields: { reward_ref: "raw", presample_correct: "raw" },
  sampler: (c) => {
    if (!c.hasRaw("presample_correct")) return;
    const rule = (correct: number[]): string => (mean(correct) === 1 ? "drop" : mean(correct) > 0 ? "keep" : "inject");
    const prompts = Object.entries(c.raw<Record<string, number[]>>("presample_correct"));
    c.output("presample", Object.fromEntries(prompts.map(([prompt, list]) => [prompt, rule(list.map(Number))])));
  },
  advantage: (c) => {
    const before = c.raw<Record<string, number[]>>("reward_ref");
    const value = Float64Array.from({ length: c.group.size }, (_, g) =>
      mean(
        before[String(g)] ??
          c.refuse(`pvpo: 'reward_ref' has no '${g}'`, "give rewards of the reference for each group"),
      ),
    );
    return c.reward.sub(c.lift(c.group, value));
  },
  kl: (c, p) => (p.beta === 0 ? c.number(0) : klPenalty(c, klToReference(c, p.kl), p.beta)),
  aggregate: (c, loss, p) => aggregate(c, loss, p.agg),
  trains: { supply: { reward_ref: "reference-rewards" } },
});
