import { defineRecipe, integer, none, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { dualClip } from "../rl/gate.ts";
import { exp, log } from "../rl/scalar.ts";

/** −Σ e^l·l / ln V over a segment's first tokens and their most likely entries: a sum, as coded, not a mean. */
const probe = (segment: readonly number[][], tokens: number, vocabulary: number): number =>
  -segment
    .slice(0, tokens)
    .flat()
    .reduce((sum, l) => sum + exp(l) * l, 0) / log(vocabulary);

export default defineRecipe({
  id: "arpo",
  paper: { title: "Agentic Reinforced Policy Optimization", arxiv: "2507.19849" },
  stage: ["rollout", "advantage", "reward"],
  describe: `Starts with fewer rollouts than the group has places and branches more right after tool calls whose following
tokens show a rise of entropy. The group is the tree's leaves and the advantage plain GRPO's over them: a shared prefix
stands in several rows and so gets their mean (soft attribution; the paper's hard one is left out). Token mean, dual clip,
no KL. The reward (format, F1, a bonus for both tools) is the task's.`,
  formula: "branch iff clip(u − w(H_now − H_0), 0, 1) ≤ p, H = −Σ e^l·l / ln V; A = (R − mean_g)/(std_g + adv_eps)",
  params: {
    n: integer(16, "leaves a prompt", { min: 1 }),
    initial: integer(8, "the trainer's: rollouts to start with", { min: 1 }),
    beam: integer(2, "branches of one rollout at a tool call, itself included", { min: 1 }),
    p: number(0.5, "probability of a branch where the entropy stays", { min: 0, max: 1 }),
    w: number(0.2, "weight of the rise of entropy"),
    vocab: integer(50000, "size of the vocabulary", { min: 2 }),
    probe_tokens: integer(20, "tokens of a segment that are looked at", { min: 1 }),
    already_used: integer(0, "rollouts the prompt has so far", { min: 0 }),
    adv_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    clip_c: number(3, "dual clip", { min: 1 }),
  },
  fields: { initial_top_logprobs: "raw", segment_top_logprobs: "raw", uniform: "raw" },
  trains: {
    refuse:
      "needs tool turns and rollouts that branch at them: supply initial_top_logprobs, segment_top_logprobs, uniform",
  },
  sampler: (c, p) => {
    if (!c.hasRaw("segment_top_logprobs")) return;
    const entropy = (name: string): number[] =>
      c.raw<number[][][]>(name).map((segment) => probe(segment, p.probe_tokens, p.vocab));
    const [first, now] = [entropy("initial_top_logprobs"), entropy("segment_top_logprobs")];
    let total = p.already_used;
    const branch = c.raw<number[]>("uniform").map((u, k) => {
      const room = Math.min(p.beam - 1, p.n - total);
      const x = Math.max(0, Math.min(1, u - p.w * (now[k] - first[k])));
      if (room <= 0 || x > p.p) return false;
      total += room;
      return true;
    });
    c.output("entropy_initial", first);
    c.output("entropy_now", now);
    c.output("branch", branch);
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.adv_eps }),
  gate: (c, ratio, p) => dualClip(c, ratio, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }, p.clip_c),
  kl: none,
  aggregate: tokenMean,
});
