import { choice, defineRecipe, flag, integer, none, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import type { Context } from "../rl/context.ts";
import { ppoClip } from "../rl/gate.ts";
import { members } from "../rl/groups.ts";
import { type SampleMoments, sampleMoments } from "../rl/tracker.ts";

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
    // A round that is not drawn yet is asked for before the next is thought of.
    if (!done && rounds < rule.max_rounds && samples.length === rounds * rule.round_repeat) continue;
    const total = Math.min(n, samples.length);
    const share = Math.ceil((positive.length / Math.max(1, samples.length)) * n);
    const wanted = done || balanced ? half : Math.max(1, Math.min(share, total - 1));
    return { rounds, samples, positive, negative, selected: take(positive, negative, Math.min(wanted, total), total) };
  }
}

/** Of the labels of all draws of a prompt, or of the rewards of those that are kept. */
const statistics = ({ samples, positive, negative, selected }: Drawn, global: boolean): SampleMoments =>
  sampleMoments(global ? [...positive.map(() => 1), ...negative.map(() => 0)] : selected.map((k) => samples[k]));

/** A reward less the mean, divided by the deviation where asked. */
const compared = (reward: number, { mean, std }: SampleMoments, eps: number, scaled: boolean): number =>
  (reward - mean) / (scaled ? Math.max(std, 1e-6) + eps : 1);

/** Rewards of each prompt's draws, in order; those of the batch where it says nothing of others. */
function streams(c: Context): number[][] {
  if (c.hasRaw("reward_stream")) return c.raw<number[][]>("reward_stream");
  const reward = c.reward.values();
  return members(c).map((rows) => rows.map((i) => reward[i]));
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
that a rare success is worth more. reward_stream holds the rewards of all draws by prompt. The update is dapo's clip, token
mean; global_stat_est false compares with what is kept alone, as GRPO does.`,
  formula: "A = R − pos/(pos + neg) over all draws of the prompt, or that over max(std, 1e-6) + std_eps",
  params: {
    choice: choice("balanced", ["balanced", "positive_focused"], "when a prompt has enough"),
    max_rounds: integer(4, "rounds of a prompt at most", { min: 1 }),
    round_repeat: integer(8, "draws of a round", { min: 1 }),
    keep_per_prompt: integer(4, "draws that are kept", { min: 0, config: "rolloutsPerPrompt" }),
    positive_threshold: number(0.7, "a reward above counts as right"),
    std_eps: number(1e-6, "added to the deviation", { min: 0 }),
    global_stat_est: flag(true, "statistics of the labels of all draws; false: of the kept rewards alone"),
    norm_by_std: flag(false, "train on advantage_std"),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.28, "clip range above 1", { min: 0 }),
  },
  fields: { reward_stream: "raw" },
  trains: { supply: { reward_stream: "reward-stream" }, draws: "rounds" },
  sampler: (c, p) => {
    if (!c.hasRaw("reward_stream")) return;
    const drawn = streams(c).map((stream) => draw(stream, p));
    const seen = drawn.map((d) => statistics(d, p.global_stat_est));
    const advantages = (scaled: boolean) =>
      drawn.map((d, q) => d.selected.map((k) => compared(d.samples[k], seen[q], p.std_eps, scaled)));
    const rounds = drawn.map((d) => d.rounds);
    const rollouts = rounds.map((n) => n * p.round_repeat);
    const selected = drawn.map((d) => d.selected);
    for (const [name, value] of Object.entries({ rounds, rollouts, selected })) c.output(name, value);
    c.output("prompt_stats", { pos: drawn.map((d) => d.positive.length), neg: drawn.map((d) => d.negative.length) });
    c.output("advantage", advantages(false));
    c.output("advantage_std", advantages(true));
  },
  advantage: (c, p) => {
    if (!c.has("reward")) return c.number(0, c.trajectory);
    const group = c.trajectory.edge(c.group).index;
    const reward = c.reward.values();
    const seen = p.global_stat_est
      ? streams(c).map((stream) => statistics(draw(stream, p), true))
      : members(c).map((rows) => sampleMoments(rows.map((i) => reward[i])));
    const own = reward.map((r, i) => compared(r, seen[group[i]], p.std_eps, p.norm_by_std));
    return c.lift(c.trajectory, own);
  },
  gate: (c, ratio, p) => ppoClip(c, ratio, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }),
  kl: none,
  aggregate: tokenMean,
});
