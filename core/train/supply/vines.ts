/**
 * @file Vines: several rollouts from one state, and sets of them. The states are the prompt, whose vines are its group, and
 * further ones evenly spaced over the group's first rollout.
 */
import { Stream, streams } from "../../rng.ts";
import { type Means, ofPrompt, type Step } from "../trajectories.ts";
import { continuations } from "./continuation.ts";
import { groupsOf, probes, type Supply } from "./types.ts";

/** The vines of every state after the prompt join the step as groups of their own. */
async function grow(step: Step, means: Means): Promise<void> {
  const { config, params } = means;
  const states = (params.states as number | undefined) ?? 1;
  const places = groupsOf(step).flatMap((p) => {
    const [t] = ofPrompt(step, p);
    const starts = Array.from({ length: states }, (_, s) => Math.floor((t.ids.length * s) / states));
    return [...new Set(starts)].filter((n) => n > 0).map((n) => ({ t, n }));
  });
  const grown = await continuations(step, means, places, config.rolloutsPerPrompt, config.temperature);
  places.forEach(({ t, n }, k) => {
    const context = [...t.context, ...t.ids.slice(0, n)];
    const vines = grown[k].filter((vine) => vine !== t && vine.scored);
    if (vines.length === 0) return;
    const { row, index } = step.prompts[t.prompt];
    const prompt = step.prompts.length;
    step.prompts = [...step.prompts, { row, ids: context, index }];
    step.trajectories.push(...vines.map((vine) => ({ ...vine, prompt, context, ids: vine.ids.slice(n) })));
  });
}

export const vineSets: Supply = {
  is: "sets of rollouts from one state: the prompt, or a place in its first rollout",
  whole: true,
  missing: (_task, { rolloutsPerPrompt }, { n }) =>
    n === undefined || n < rolloutsPerPrompt
      ? undefined
      : {
          what: `n is ${n} and rolloutsPerPrompt ${rolloutsPerPrompt}: all sets of a state are the same`,
          remedy: "take n below rolloutsPerPrompt, half of it say",
        },
  rows: grow,
  field: (step, { config, params, step: number }) => {
    const sets = (params.sets as number | undefined) ?? 1;
    return groupsOf(step).flatMap((p, g) => {
      const members = step.trajectories.flatMap((t, i) => (t.prompt === p ? [i] : []));
      const random = new Stream(config.seed, streams.vines, number, g);
      const size = Math.min(members.length, (params.n as number | undefined) ?? members.length);
      return Array.from({ length: sets }, () => random.shuffle([...members]).slice(0, size));
    });
  },
  probe: () => [
    [0, 1],
    [2, 3],
  ],
};

export const signature: Supply = {
  is: "a number for each different answer among the rollouts; of a task without answers, each different text",
  field: (step, { task }) => {
    const seen = new Map<string, number>();
    return step.trajectories.map(({ sample }) => {
      const answer = task.answer?.(sample.completion) ?? sample.completion.trim();
      if (!seen.has(answer)) seen.set(answer, seen.size);
      return seen.get(answer);
    });
  },
  probe: probes.trajectory,
};
