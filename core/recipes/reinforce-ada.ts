import { choice, defineRecipe, flag, integer, number } from "../recipe.ts";

interface Rule {
  choice: "balanced" | "positive_focused";
  max_rounds: number;
  round_repeat: number;
  keep_per_prompt: number;
  positive_threshold: number;
}

interface Drawn {
  rounds: number;
  samples: number[];
  /** Indices, by label, in drawing order. */
  positive: number[];
  negative: number[];
  selected: number[];
}

/** `wanted` of the first list and enough of the second for `total` in all, each list filling the other's shortage. */
function take(positive: number[], negative: number[], wanted: number, total: number): number[] {
  const right = Math.min(wanted, positive.length);
  const wrong = Math.min(total - right, negative.length);
  return [...positive.slice(0, Math.min(positive.length, total - wrong)), ...negative.slice(0, wrong)];
}

/** Rounds of draws from one prompt's stream until it has what the rule asks for. */
function draw(stream: readonly number[], rule: Rule): Drawn {
  const n = rule.keep_per_prompt;
  const half = Math.floor(n / 2);
  const balanced = rule.choice === "balanced";
  for (let rounds = 1; ; rounds++) {
    const samples = stream.slice(0, rounds * rule.round_repeat);
    const of = (label: boolean) => [...samples.keys()].filter((k) => samples[k] > rule.positive_threshold === label);
    const [positive, negative] = [of(true), of(false)];
    const done = balanced ? positive.length >= half && negative.length >= n - half : positive.length >= 1;
    if (!done && rounds < rule.max_rounds) continue;
    const total = Math.min(n, samples.length);
    const share = Math.ceil((positive.length / Math.max(1, samples.length)) * n);
    const wanted = done || balanced ? half : Math.max(1, Math.min(share, total - 1));
    return { rounds, samples, positive, negative, selected: take(positive, negative, Math.min(wanted, total), total) };
  }
}

export default defineRecipe({
  id: "reinforce-ada",
  paper: {
    title: "Reinforce-Ada: An Adaptive Sampling Framework for Reinforce-Style LLM Training",
    arxiv: "2510.04996",
  },
  stage: ["sampler", "filter", "advantage"],
  describe: `Prompts are sampled in rounds and leave as soon as they have enough right and wrong answers (or one right one); of
all draws a fixed number is kept, half and half as far as they go, and the baseline is the success rate over all draws, so
that a rare success is worth more. Here: rounds, selection and advantages from a stream of rewards by prompt. The update is
dapo's clip on advantage (or advantage_std); the local-statistics option is plain GRPO on what is kept.`,
  formula: "A = R − pos/(pos + neg) over all draws of the prompt, or that over max(std, 1e-6) + std_eps",
  params: {
    choice: choice("balanced", ["balanced", "positive_focused"], "when a prompt has enough"),
    max_rounds: integer(4, "rounds of a prompt at most", { min: 1 }),
    round_repeat: integer(8, "draws of a round", { min: 1 }),
    keep_per_prompt: integer(4, "draws that are kept", { min: 0 }),
    positive_threshold: number(0.7, "a reward above counts as right"),
    std_eps: number(1e-6, "added to the deviation", { min: 0 }),
    global_stat_est: flag(true, "statistics over all draws (the trainer's choice of output)"),
    norm_by_std: flag(false, "train on advantage_std (the trainer's choice of output)"),
  },
  fields: { reward_stream: "raw" },
  outputs: (c, p) => {
    const drawn = c.raw<number[][]>("reward_stream").map((stream) => draw(stream, p));
    const advantages = (scaled: boolean) =>
      drawn.map(({ samples, positive, negative, selected }) => {
        const n = samples.length;
        const rate = n > 1 ? positive.length / n : 0;
        const spread = positive.length * (1 - rate) * (1 - rate) + negative.length * rate * rate;
        const std = n > 1 ? Math.sqrt(spread / (n - 1)) : 1;
        const divisor = scaled ? Math.max(std, 1e-6) + p.std_eps : 1;
        return selected.map((k) => (samples[k] - rate) / divisor);
      });
    return {
      rounds: drawn.map((d) => d.rounds),
      rollouts: drawn.map((d) => d.rounds * p.round_repeat),
      selected: drawn.map((d) => d.selected),
      prompt_stats: { pos: drawn.map((d) => d.positive.length), neg: drawn.map((d) => d.negative.length) },
      advantage: advantages(false),
      advantage_std: advantages(true),
    };
  },
  trains: { refuse: "needs sampling in rounds with a stop by prompt: replay it on reward_stream" },
});
