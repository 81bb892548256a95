import { anything, defineRecipe, integer, number } from "../recipe.ts";
import type { Context } from "../rl/context.ts";

interface Choice {
  batch_prompts: number;
  rollouts: number;
}

/** Expected gain of each prompt's draw, and the prompts of highest gain (ties: the lower index). */
function chosen(c: Context, p: Choice): { gain: number[]; selected: number[] } {
  const gain = c.raw<number[]>("theta").map((x) => x * (1 - x) * (1 - x));
  const order = gain.map((_, q) => q).sort((a, b) => gain[b] - gain[a] || a - b);
  return { gain, selected: order.slice(0, p.batch_prompts) };
}

export default defineRecipe({
  id: "vade",
  paper: {
    title: "VADE: Variance-Aware Dynamic Sampling via Online Sample-Level Difficulty Estimation for Multimodal RL",
    arxiv: "2511.18902",
  },
  stage: ["sampler"],
  describe: `An option: prompts of highest expected gain are trained on, by Thompson draws (theta, one a prompt, from
Beta(alpha + prior, beta + prior)) of their success rates; no rollouts are spent on the others. Counts of the chosen are
mixed with the new ones (successes, by prompt), those of the others fade slowly. The constants are read off a figure; the
tie rule is ours. Any group method trains on the selection.`,
  formula: "gain = θ(1 − θ)²; chosen: α ← λ1·α + r, β ← λ1·β + G − r; others: α ← λ2·α, β ← λ2·β",
  params: {
    batch_prompts: integer(8, "prompts of a batch (not read; ours)", { min: 0, config: "promptsPerStep" }),
    rollouts: integer(8, "G: rollouts of a prompt", { min: 1, config: "rolloutsPerPrompt" }),
    decay_sampled: number(0.2, "λ1: what a chosen prompt keeps of its counts", { min: 0, max: 1 }),
    decay_all: number(0.999, "λ2: what the others keep", { min: 0, max: 1 }),
    prior: anything<readonly number[]>([1, 1], "added to the counts for the draw alone (the caller's)"),
  },
  option: true,
  fields: { theta: "raw", successes: "raw" },
  sampler: (c, p) => {
    const { gain, selected } = chosen(c, p);
    c.output("info_gain", gain);
    c.output("selected", selected);
  },
  state: {
    init: () => ({ alpha: [], beta: [] }),
    update: (c, p) => {
      const { gain, selected } = chosen(c, p);
      const taken = new Set(selected);
      const right = c.raw<Record<string, number>>("successes");
      const next = (name: string, news: (q: number) => number): number[] => {
        const before = c.state[name] as number[];
        return Array.from({ length: Math.max(gain.length, before.length) }, (_, q) => {
          const old = before[q] ?? 0;
          return taken.has(q) ? p.decay_sampled * old + news(q) : p.decay_all * old;
        });
      };
      const successes = (q: number): number => right[String(q)] ?? 0;
      return { alpha: next("alpha", successes), beta: next("beta", (q) => p.rollouts - successes(q)) };
    },
  },
  trains: { supply: { theta: "thompson-draws", successes: "pool-successes" }, draws: "prompts" },
});
