/** @file Fresh rollouts from places inside a rollout: what the policy makes of it from there. */
import { exp } from "../../rl/scalar.ts";
import { streams } from "../../rng.ts";
import { judged, type Means, type Step, type Trajectory } from "../trajectories.ts";
import { segmentEnds } from "./segment.ts";
import { once, probes, type Supply } from "./types.ts";

/** A place in a trajectory: after its first n tokens. */
interface Place {
  t: Trajectory;
  n: number;
}

/** `count` continuations of each place as whole completions with their rewards; a place at the end is judged as it is. */
export async function continuations(
  step: Step,
  means: Means,
  places: readonly Place[],
  count: number,
  temperature: number,
): Promise<Trajectory[][]> {
  const { config, session } = means;
  const open = places.filter(({ t, n }) => n < t.ids.length && t.context.length + n < session.model.maxTokens);
  const contexts = open.map(({ t, n }) => [...t.context, ...t.ids.slice(0, n)]);
  const random = { seed: config.seed, stream: streams.continuation, step: means.step };
  const drawn = await session.sample(contexts, count, { ...config, temperature }, random);
  const whole = drawn.map((c) => {
    const { t, n } = open[c.prompt];
    return { ...c, ids: [...t.ids.slice(0, n), ...c.ids], prompt: t.prompt };
  });
  const { trajectories } = await judged(means, step.prompts, whole, "policy");
  const nth = new Map(open.map((place, k) => [place, k]));
  return places.map((place) => {
    const k = nth.get(place);
    return k === undefined ? [place.t] : trajectories.slice(k * count, (k + 1) * count);
  });
}

const mean = (x: readonly number[]): number => x.reduce((a, b) => a + b, 0) / Math.max(1, x.length);

/** Lists by trajectory, from one number a place. */
function regroup(step: Step, places: readonly Place[], values: readonly number[]): number[][] {
  const lists = new Map(step.trajectories.map((t) => [t, [] as number[]]));
  places.forEach(({ t }, k) => {
    lists.get(t)!.push(values[k]);
  });
  return [...lists.values()];
}

export const cutValues: Supply = {
  is: "the mean reward of fresh rollouts from each of the sampler's cut points",
  field: async (step, means) => {
    // A cut point is the place of the last token before it.
    const cuts = means.look(step).cutpoints as number[][];
    const places = step.trajectories.flatMap((t, i) => cuts[i].map((at) => ({ t, n: at + 1 })));
    const count = (means.params.mc_rollouts as number | undefined) ?? means.config.rolloutsPerPrompt;
    const drawn = await continuations(step, means, places, count, means.config.temperature);
    const values = drawn.map((list) => mean(list.map((t) => t.total)));
    return regroup(step, places, values);
  },
};

/** The greedy continuation after every segment. */
const probe = (step: Step, means: Means) =>
  once(step, "probe", async () => {
    const places = step.trajectories.flatMap((t) => segmentEnds(t, means).map((n) => ({ t, n })));
    return { places, answers: (await continuations(step, means, places, 1, 0)).map((list) => list[0]) };
  });

export const probeRight: Supply = {
  is: "whether the policy's greedy answer after each segment is right",
  field: async (step, means) => {
    const { places, answers } = await probe(step, means);
    return regroup(
      step,
      places,
      answers.map((t) => Number(t.right)),
    );
  },
  probe: probes.ragged,
};

export const probeConfidence: Supply = {
  is: "how sure the policy is of that answer: the geometric mean of its tokens' probabilities",
  field: async (step, means) => {
    const { places, answers } = await probe(step, means);
    return regroup(
      step,
      places,
      answers.map((t) => exp(mean([...t.logp]))),
    );
  },
  probe: probes.ragged,
};
