/** @file Groups of earlier steps in the place of those that teach nothing. */
import { weighted } from "../../draws.ts";
import { Stream, streams } from "../../rng.ts";
import { standardDeviation } from "../../statistics.ts";
import { numbers } from "../pool.ts";
import { type Means, ofPrompt, type Step } from "../trajectories.ts";
import { groupsOf, once, type Supply } from "./types.ts";

/** Entries of the recipe's state: which offers it keeps, and their scores. */
interface Entries {
  offered: number;
  entries: readonly { id: number; score: number }[];
}

/** Added to the deviation in the advantage, as in plain GRPO. */
const EPS = 1e-4;

/** Σ|A|·std of a group's rewards, A = (R − mean)/(std + eps). */
function scoreOf(rewards: readonly number[]): number {
  const mean = rewards.reduce((a, b) => a + b, 0) / rewards.length;
  const std = standardDeviation(rewards);
  return rewards.reduce((sum, r) => sum + Math.abs((r - mean) / (std + EPS)), 0) * std;
}

const flat = (rewards: readonly number[]): boolean => rewards.every((r) => r === rewards[0]);

/** Fresh groups with a deviation are offered, in order; groups without one give way to kept ones, drawn by score. */
async function exchange(step: Step, means: Means): Promise<void> {
  await once(step, "scores", async () => {
    const { buffer, config } = means;
    const { offered, entries } = means.state as unknown as Entries;
    buffer.keep(new Set(entries.map((e) => e.id)));
    const rewards = (p: number) => ofPrompt(step, p).map((t) => t.total);
    const groups = groupsOf(step);
    const scores = groups.filter((p) => !flat(rewards(p))).map((p) => scoreOf(rewards(p)));
    const dead = groups.filter((p) => flat(rewards(p)));
    const random = new Stream(config.seed, streams.pool, 3, means.step);
    const drawn = weighted(
      random,
      entries.map((e) => e.score),
      dead.length,
    );
    groups
      .filter((p) => !dead.includes(p))
      .forEach((p, k) => {
        buffer.put({ id: offered + k, prompt: step.prompts[p], trajectories: ofPrompt(step, p) });
      });
    drawn.forEach((entry, k) => {
      const group = buffer.get(entries[entry].id)!;
      const stored = group.trajectories.map((t) => ({
        ...t,
        prompt: dead[k],
        by: "buffer" as const,
        logpOld: t.logpOld ?? t.logp,
      }));
      step.trajectories = [...step.trajectories.filter((t) => t.prompt !== dead[k]), ...stored];
    });
    return scores;
  });
}

export const bufferScore: Supply = {
  is: "the score of each group with a deviation, kept with its rollouts; flat groups give way to kept ones",
  rows: exchange,
  ask: () => [],
  field: (step) => once(step, "scores", async () => []),
  probe: () => [1, 0.5],
};

/** Places of flat groups go to copies of others, drawn by the sampler's `sampling_weight` over the batch's groups. */
export const multiplicity: Supply = {
  is: "how often each group stands in the batch, flat groups having given way to copies of others",
  rows: async (step, means) => {
    await once(step, "copies", async () => {
      const groups = groupsOf(step);
      const dead = groups.filter((p) => flat(ofPrompt(step, p).map((t) => t.total)));
      const weights = numbers(means.look(step).sampling_weight) ?? [];
      const live = groups.filter((p) => !dead.includes(p));
      const times = new Map(live.map((p) => [p, 1]));
      const random = new Stream(means.config.seed, streams.pool, 4, means.step);
      for (const _ of live.length > 0 ? dead : []) {
        const [k] = weighted(
          random,
          live.map((p) => weights[groups.indexOf(p)] ?? 0),
          1,
        );
        const p = live[k ?? random.below(live.length)];
        times.set(p, times.get(p)! + 1);
      }
      if (live.length === 0) return groups.map(() => 1);
      step.trajectories = live.flatMap((p) => Array.from({ length: times.get(p)! }, () => ofPrompt(step, p)).flat());
      return live.map((p) => times.get(p)!);
    });
  },
  field: (step) => once(step, "copies", async () => []),
  probe: () => [1, 2],
};
