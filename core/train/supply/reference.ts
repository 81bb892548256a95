/** @file Rollouts beside the group's own: of the reference policy, and greedy ones. */
import { Stream, streams } from "../../rng.ts";
import type { Completion } from "../../rollout.ts";
import { judged, type Means, type Step, type StepPrompt, type Trajectory } from "../trajectories.ts";
import { groupsOf, once, probes, type Supply } from "./types.ts";

/** `counts[k]` rollouts of the reference for each prompt, their rewards with them. */
async function referenceRollouts(
  means: Means,
  prompts: readonly StepPrompt[],
  counts: readonly number[],
): Promise<Trajectory[]> {
  const { config, reference, step } = means;
  const ids = prompts.map((p) => p.ids);
  const random = { seed: config.seed, stream: streams.reference, step };
  const completions = await reference.sample(ids, counts, config, random);
  return (await judged(means, prompts, completions, "reference")).trajectories;
}

/** One rollout of the reference for each of the group's, in order. */
const paired = (step: Step, means: Means): Promise<Trajectory[]> =>
  once(step, "reference rollouts", () => {
    const counts = step.prompts.map((_, p) => step.trajectories.filter((t) => t.prompt === p).length);
    return referenceRollouts(means, step.prompts, counts);
  });

export const referenceReward: Supply = {
  is: "the reward of one rollout of the reference for each rollout",
  reference: true,
  field: async (step, means) => {
    const rewards = step.prompts.map(() => [] as number[]);
    for (const t of await paired(step, means)) rewards[t.prompt].push(t.total);
    return step.trajectories.map((t) => rewards[t.prompt].shift() ?? 0);
  },
  probe: probes.trajectory,
};

/** Drawn at a prompt's first visit: K of the recipe's parameters, else as many as a group has. */
export const referenceRewards: Supply = {
  is: "rewards of the reference's own rollouts of each prompt, drawn once",
  reference: true,
  pool: true,
  field: async (step, means, shape) => {
    const history = means.pool!.history;
    const fresh = step.prompts.filter(({ index }) => !history[index].reference);
    const count = (means.params.K as number | undefined) ?? means.config.rolloutsPerPrompt;
    const drawn = await referenceRollouts(
      means,
      fresh,
      fresh.map(() => count),
    );
    fresh.forEach(({ index }, p) => {
      history[index].reference = drawn.filter((t) => t.prompt === p).map((t) => t.total);
    });
    const of = (p: number) => history[step.prompts[p].index].reference!;
    if (shape === "ragged") return step.trajectories.map((t) => of(t.prompt));
    return Object.fromEntries(groupsOf(step).map((p, g) => [String(g), of(p)]));
  },
  probe: (shape) => (shape === "ragged" ? probes.ragged() : { 0: [0, 1], 1: [1, 1] }),
};

export const greedyReward: Supply = {
  is: "the reward of the greedy answer to each rollout's prompt",
  field: async (step, means) => {
    const { config, session } = means;
    const random = { seed: config.seed, stream: streams.reference, step: means.step };
    const ids = step.prompts.map((p) => p.ids);
    const completions = await session.sample(ids, 1, { ...config, temperature: 0 }, random);
    const { trajectories } = await judged(means, step.prompts, completions, "policy");
    return step.trajectories.map((t) => trajectories[t.prompt].total);
  },
  probe: probes.trajectory,
};

/** The judge is the reward: of two equal ones the policy's own answer counts as the better. */
export const referenceAnswers: Supply = {
  is: "whether each rollout is better than the reference's answer, which follows it as a row of its own",
  reference: true,
  whole: true,
  rows: async (step, means) => {
    const others = await paired(step, means);
    const queues = step.prompts.map((_, p) => others.filter((t) => t.prompt === p));
    step.trajectories = step.trajectories.flatMap((t) => [t, queues[t.prompt].shift()!]);
  },
  field: (step) => step.trajectories.flatMap((t, i, all) => (i % 2 === 0 ? [t.total >= all[i + 1].total] : [])),
  probe: () => [true, false],
};

/**
 * The opponent answers as the reference with chance `mixture_coef`, else as the policy: a mixture of whole answers, where the
 * token-wise one needs the logits of both. A win counts 1, a draw ½.
 */
export const winProbability: Supply = {
  is: "whether each rollout beats an opponent's answer to the same prompt, by reward",
  reference: true,
  field: async (step, means) => {
    const share = (means.params.mixture_coef as number | undefined) ?? 1;
    const others = await paired(step, means);
    const { config, session } = means;
    const random = { seed: config.seed, stream: streams.reference, step: means.step };
    const ids = step.prompts.map((p) => p.ids);
    const counts = step.prompts.map((_, p) => others.filter((t) => t.prompt === p).length);
    // A stream of its own: the policy's second answers are not its first ones.
    const again: Completion[] = await session.sample(ids, counts, config, { ...random, stream: streams.hint });
    const own = (await judged(means, step.prompts, again, "policy")).trajectories;
    const queues = step.prompts.map((_, p) => others.flatMap((t, k) => (t.prompt === p ? [[t, own[k]]] : [])));
    return step.trajectories.map((t, i) => {
      const [theirs, mine] = queues[t.prompt].shift()!;
      const toss = new Stream(config.seed, streams.reference, means.step, 1, i).uniform();
      const opponent = toss < share ? theirs : mine;
      return t.total > opponent.total ? 1 : t.total === opponent.total ? 0.5 : 0;
    });
  },
  probe: probes.trajectory,
};
