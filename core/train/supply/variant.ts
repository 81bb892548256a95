/** @file Groups of answers to two wordings of one question. */
import { streams } from "../../rng.ts";
import { promptIds } from "../model.ts";
import { judged, type Means, ofPrompt, type Step, type StepPrompt } from "../trajectories.ts";
import { column, needsColumn } from "./column.ts";
import { groupsOf, type Supply } from "./types.ts";

const HOLDS = "the prompt in other words, text or chat messages as the prompt is";
type Prompt = StepPrompt["row"]["prompt"];
const isPrompt = (x: unknown): x is Prompt =>
  typeof x === "string" || (Array.isArray(x) && x.every((m) => typeof m?.role === "string"));

/** Every second rollout of a group answers the other wording instead; one that would have no partner leaves. */
async function reword(step: Step, means: Means): Promise<void> {
  const { config, session } = means;
  const halves = groupsOf(step).map((p) => {
    const own = ofPrompt(step, p);
    return { p, own: own.slice(0, own.length >> 1) };
  });
  const places = halves.filter(({ own }) => own.length > 0);
  const contexts = places.map(({ p, own }) => {
    const prompt = column(own[0], "variant", isPrompt, HOLDS);
    return promptIds(session.loaded.tokenizer, { ...step.prompts[p].row, prompt });
  });
  const counts = places.map(({ own }) => own.length);
  const random = { seed: config.seed, stream: streams.variant, step: means.step };
  const drawn = await session.sample(contexts, counts, config, random);
  const placed = drawn.map((c) => ({ ...c, prompt: places[c.prompt].p }));
  const own = drawn.map((c) => contexts[c.prompt]);
  const { trajectories } = await judged(means, step.prompts, placed, "policy", own);
  const answers = new Map(places.map(({ p }) => [p, trajectories.filter((t) => t.prompt === p)]));
  step.trajectories = places.flatMap(({ p, own: first }) =>
    first.flatMap((t, k) => {
      const partner = answers.get(p)![k];
      return partner.scored ? [t, partner] : [];
    }),
  );
}

export const variantPairs: Supply = {
  is: 'pairs of rollouts, one to a prompt and one to its other wording: its column "variant"',
  missing: (task, config, params) => {
    if (config.rolloutsPerPrompt < 2) {
      return { what: "rolloutsPerPrompt is 1, which makes no pair", remedy: "set rolloutsPerPrompt to 2 or more" };
    }
    return needsColumn("variant", HOLDS)(task, config, params);
  },
  rows: reword,
  field: (step) => Array.from({ length: step.trajectories.length >> 1 }, (_, k) => [2 * k, 2 * k + 1]),
  probe: () => [
    [0, 1],
    [2, 3],
  ],
};
