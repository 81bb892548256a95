import { defineRecipe, integer, number } from "../recipe.ts";
import type { Context } from "../rl/context.ts";
import { listsOf, sameShape } from "../rl/nested.ts";
import { distinct } from "../rl/text.ts";

interface Weights {
  w_outcome: number;
  w_diversity: number;
  ngram: number;
  eps: number;
}

/** Outcome variance, diversity and their normalised sum of each prompt. */
function scored(c: Context, p: Weights): { outcome: number[]; diversity: number[]; score: number[] } {
  sameShape(c, 2, "correct", "tokens");
  const tokens = listsOf<number[][]>(c, "tokens");
  const outcome = listsOf<(boolean | number)[]>(c, "correct").map((row) => {
    const rate = row.reduce<number>((sum, right) => sum + Number(right), 0) / Math.max(1, row.length);
    return rate * (1 - rate);
  });
  const diversity = outcome.map((_, x) => distinct(tokens[x], p.ngram));
  const score = outcome.map((v, x) => p.w_outcome * v + p.w_diversity * diversity[x]);
  const least = score.reduce((a, b) => Math.min(a, b), score[0]);
  const most = score.reduce((a, b) => Math.max(a, b), score[0]);
  return { outcome, diversity, score: score.map((s) => (s - least) / (most - least + p.eps || 1)) };
}

export default defineRecipe({
  id: "mmr1-vas",
  paper: {
    title: "MMR1: Enhancing Multimodal Reasoning with Variance-Aware Sampling and Open Resources",
    source: "github LengSicong/MMR1 verl/curriculum/metrics.py, verl/trainer/ray_trainer.py",
  },
  stage: ["sampler"],
  describe: `An option: a part of each batch is drawn by a score of the prompt, the variance of its rollouts' correctness and, if wanted, the
diversity of their n-grams, normalised over the pool and smoothed over refreshes; the rest is drawn uniformly. All scores
equal: everything is drawn uniformly. correct and tokens are lists by prompt and rollout.`,
  formula: "VPS = w_outcome·p(1 − p) + w_diversity·distinct_n; S ← momentum·S + (1 − momentum)·minmax(VPS)",
  params: {
    w_outcome: number(1, "weight of the variance p(1 − p)", { min: 0 }),
    w_diversity: number(0, "weight of the diversity", { min: 0 }),
    ngram: integer(3, "tokens of an n-gram", { min: 1 }),
    momentum: number(0, "share of the earlier score", { min: 0, max: 1 }),
    mixture_ratio: number(0.5, "share of the batch drawn by score", { min: 0, max: 1 }),
    batch_prompts: integer(512, "prompts of a batch", { min: 0, config: "promptsPerStep" }),
    eps: number(1e-8, "added to the range of the scores", { min: 0 }),
    update_every: integer(4, "steps between refreshes (the caller's)", { min: 1 }),
    rollouts: integer(8, "rollouts a prompt (the trainer's)", { min: 1 }),
    kl: number(0.01, "coefficient of k3 in the released example (set beta for it)", { min: 0 }),
  },
  option: true,
  fields: { correct: "raw", tokens: "raw" },
  sampler: (c, p) => {
    const { outcome, diversity, score } = scored(c, p);
    const weighted = Math.floor(p.batch_prompts * p.mixture_ratio);
    c.output("ovs", outcome);
    c.output("tds", diversity);
    c.output("sampling_weight", score);
    c.output("n_weighted", weighted);
    c.output("n_uniform", p.batch_prompts - weighted);
  },
  state: {
    init: () => ({ weight: [] }),
    update: (c, p) => {
      const before = c.state["weight"] as number[];
      const { score } = scored(c, p);
      return { weight: score.map((s, x) => p.momentum * (before[x] ?? 0) + (1 - p.momentum) * s) };
    },
  },
  trains: { supply: { correct: "pool-correct", tokens: "pool-tokens" }, draws: "prompts" },
});
