/**
 * @file The steps of a rollout, where no environment sets them: segments that end at a line's or a sentence's end; in a
 * rollout without such marks a segment begins wherever the policy was less sure than on the rollout's average (the entropy
 * of the token's distribution above its mean). A function of the rollout alone.
 */

import { decodeContinuation } from "../../model/tokenizer.ts";
import { tokenF1 } from "../../rewards/similarity.ts";
import { exp } from "../../rl/scalar.ts";
import type { Means, Step, Trajectory } from "../trajectories.ts";
import { demonstrationIds, needsDemonstrations } from "./demonstration.ts";
import { once, probes, type Supply } from "./types.ts";

/** For each token its segment, 0, 1, … */
function segmentsOf(t: Trajectory, { session }: Means): number[] {
  const { tokenizer } = session.loaded;
  const end = t.ids.map((id, k) => k < t.ids.length - 1 && /[.!?;\n]\s*$/.test(tokenizer.decode([id])));
  const mean = t.entropy.reduce((a, b) => a + b, 0) / Math.max(1, t.ids.length);
  const begins = end.some(Boolean)
    ? t.ids.map((_, k) => k > 0 && end[k - 1])
    : t.ids.map((_, k) => k > 0 && t.entropy[k] > mean);
  let segment = 0;
  return begins.map((begin) => {
    if (begin) segment++;
    return segment;
  });
}

/** Where each segment ends, as a number of tokens. */
export const segmentEnds = (t: Trajectory, means: Means): number[] => {
  const of = segmentsOf(t, means);
  return of.flatMap((s, k) => (k === of.length - 1 || of[k + 1] !== s ? [k + 1] : []));
};

/** The text up to each segment's end. */
function textsOf(t: Trajectory, means: Means): string[] {
  const { tokenizer, stopIds } = means.session.loaded;
  return segmentEnds(t, means).map((n) => {
    const ids = t.ids.slice(0, n);
    const own = stopIds.includes(ids[n - 1]) ? ids.slice(0, -1) : ids;
    return decodeContinuation(tokenizer, [...t.context], own, { skipSpecial: true });
  });
}

const each = <T>(step: Step, f: (t: Trajectory) => T): T[] => step.trajectories.map(f);

export const segment: Supply = {
  is: "the segment of each token (ended by a line or sentence, else begun where the policy is unsure)",
  field: (step, means) => each(step, (t) => segmentsOf(t, means)),
  probe: probes.token,
};

export const segmentLast: Supply = {
  is: "the place of the last token of each segment",
  field: (step, means) => each(step, (t) => segmentEnds(t, means).map((n) => n - 1)),
  probe: () => [[0, 1], [2], [1], [0]],
};

export const segmentCount: Supply = {
  is: "the number of segments of each rollout",
  field: (step, means) => each(step, (t) => segmentEnds(t, means).length),
  probe: probes.trajectory,
};

export const segmentGain: Supply = {
  is: "what each segment adds to the token F1 with the right answer",
  missing: needsDemonstrations,
  field: (step, means) =>
    each(step, (t) => {
      const answer = means.task.supervised!(t.sample.row);
      const score = textsOf(t, means).map((text) => tokenF1(text, answer));
      return score.map((x, k) => x - (k > 0 ? score[k - 1] : 0));
    }),
  probe: probes.ragged,
};

export const segmentRight: Supply = {
  is: "whether the rollout up to each segment's end begins as the right answer does, or is right as a whole",
  missing: needsDemonstrations,
  field: (step, means) =>
    each(step, (t) => {
      const answer = means.task.supervised!(t.sample.row);
      return textsOf(t, means).map((text) => Number(t.right || answer.startsWith(text)));
    }),
  probe: () => [[1], [0], [1], [0]],
};

export const segmentOutcome: Supply = {
  is: "the reward of each segment: the rollout's on its last, 0 before",
  field: (step, means) =>
    each(step, (t) => segmentEnds(t, means).map((_, k, all) => (k === all.length - 1 ? t.total : 0))),
  probe: probes.ragged,
};

export const outcome: Supply = {
  is: "the reward of each rollout",
  field: (step) => each(step, (t) => t.total),
  probe: probes.trajectory,
};

export const segmentState: Supply = {
  is: "the text before each segment",
  field: (step, means) =>
    each(step, (t) => ["", ...textsOf(t, means).slice(0, -1)].slice(0, segmentEnds(t, means).length)),
  probe: () => [[""], [""], [""], [""]],
};

export const segmentText: Supply = {
  is: "the text of each segment",
  field: (step, means) =>
    each(step, (t) => textsOf(t, means).map((text, k, all) => text.slice(k > 0 ? all[k - 1].length : 0))),
  probe: () => [["a"], ["b"], ["a"], ["b"]],
};

export const segmentNext: Supply = {
  is: "the text through each segment",
  field: (step, means) => each(step, (t) => textsOf(t, means)),
  probe: () => [["a"], ["b"], ["a"], ["b"]],
};

/** Geometric mean over the answer's tokens, teacher-forced after the rollout's tokens so far. */
export const segmentBelief: Supply = {
  is: "the policy's probability of the right answer before each segment, the geometric mean over the answer's tokens",
  missing: needsDemonstrations,
  field: (step, means) =>
    once(step, "belief", async () => {
      const places = step.trajectories.flatMap((t, i) =>
        [0, ...segmentEnds(t, means).slice(0, -1)].map((n) => ({ t, i, n })),
      );
      const most = means.session.model.maxTokens;
      const sequences = places.map(({ t, n }) => {
        const before = [...t.context, ...t.ids.slice(0, n)];
        const answer = demonstrationIds(means, step.prompts[t.prompt])!;
        // What does not fit is not asked for: the belief is that in the answer's beginning.
        return { ids: [...before, ...answer].slice(0, most), from: Math.min(before.length, most - 1) };
      });
      const { logp, offsets } = await means.session.score(sequences, { microBatches: means.microBatches });
      const belief = step.trajectories.map(() => [] as number[]);
      places.forEach(({ i }, k) => {
        const own = logp.subarray(offsets[k], offsets[k + 1]);
        belief[i].push(exp(own.reduce((a, b) => a + b, 0) / own.length));
      });
      return belief;
    }),
  probe: probes.ragged,
};
