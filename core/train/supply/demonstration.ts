/** @file Right answers: demonstrations in groups, and what the policy says of gold answers. */
import { bagOfWords, tokenF1 } from "../../rewards/similarity.ts";
import { Stream, streams } from "../../rng.ts";
import { judged, type Means, ofPrompt, type Step, type StepPrompt, type Trajectory } from "../trajectories.ts";
import { groupsOf, once, probes, type Supply } from "./types.ts";

/** Tokens of the prompt's demonstration with the stop token; undefined where the task has none. */
export function demonstrationIds(
  { task, session }: Pick<Means, "task" | "session">,
  { row }: StepPrompt,
): number[] | undefined {
  if (!task.supervised) return undefined;
  const { tokenizer, stopIds } = session.loaded;
  return [...tokenizer.encode(task.supervised(row), { addSpecial: false }), stopIds[0]];
}

/** −log-probability of each prompt's right answer, teacher-forced, nats a token; undefined where the task has none. */
export async function answerSurprise(means: Means, prompts: readonly StepPrompt[]): Promise<number[] | undefined> {
  const sequences = prompts.flatMap((prompt) => {
    const answer = demonstrationIds(means, prompt);
    return answer ? [{ ids: [...prompt.ids, ...answer], from: prompt.ids.length }] : [];
  });
  if (sequences.length < prompts.length) return undefined;
  const { logp, offsets } = await means.session.score(sequences, { microBatches: means.microBatches });
  return prompts.map((_, k) => {
    const own = logp.subarray(offsets[k], offsets[k + 1]);
    return -own.reduce((a, b) => a + b, 0) / own.length;
  });
}

/** For supplies that need right answers. */
export const needsDemonstrations: NonNullable<Supply["missing"]> = (task) =>
  task.supervised
    ? undefined
    : {
        what: `task ${task.name} has no demonstrations`,
        remedy:
          'give every row of the prompt file a column "demonstration" with a right completion, or take a built-in task',
      };

/** The demonstration of each given prompt of the step as a member of its group, with its rewards. */
async function demonstrations(step: Step, means: Means, places: readonly number[]): Promise<Trajectory[]> {
  const empty = new Float32Array(0);
  const completions = places.map((prompt) => ({
    prompt,
    ids: demonstrationIds(means, step.prompts[prompt])!,
    logp: empty,
    entropy: empty,
    finish: "stop" as const,
  }));
  const { trajectories } = await judged(means, step.prompts, completions, "demonstration");
  return trajectories.filter((t) => t.scored);
}

/** One demonstration joins every group. */
async function joinGroups(step: Step, means: Means): Promise<void> {
  step.trajectories.push(...(await demonstrations(step, means, groupsOf(step))));
}

const shown = (t: Trajectory) => Number(t.by === "demonstration");

export const demonstration: Supply = {
  is: "whether a member of the group is the task's demonstration, which joins every group",
  missing: needsDemonstrations,
  rows: joinGroups,
  field: (step) => step.trajectories.map(shown),
  probe: probes.trajectory,
};

export const demonstrationTokens: Supply = {
  is: "1 on the tokens of the task's demonstration, which joins every group",
  missing: needsDemonstrations,
  rows: joinGroups,
  field: (step) => step.trajectories.map((t) => t.ids.map(() => shown(t))),
  probe: probes.token,
};

export const anchor: Supply = {
  is: "whether a member of the group is the task's demonstration, which replaces the last rollout where all failed",
  missing: needsDemonstrations,
  rows: async (step, means) => {
    const failed = groupsOf(step).filter((p) => !ofPrompt(step, p).some((t) => t.right));
    const answers = await demonstrations(step, means, failed);
    for (const answer of answers) {
      const at = step.trajectories.findLastIndex((t) => t.prompt === answer.prompt);
      step.trajectories[at] = answer;
    }
  },
  field: (step) => step.trajectories.map(shown),
  probe: probes.trajectory,
};

export const demonstrationReward: Supply = {
  is: "the reward of the task's demonstration of each rollout's prompt",
  missing: needsDemonstrations,
  field: async (step, means) => {
    const places = groupsOf(step);
    const answers = await demonstrations(step, means, places);
    const total = new Map(answers.map((t) => [t.prompt, t.total]));
    return step.trajectories.map((t) => total.get(t.prompt) ?? 0);
  },
  probe: probes.trajectory,
};

export const clauseSimilarity: Supply = {
  is: "likeness of each clause of a rollout to each clause of the task's demonstration, as bags of words",
  missing: needsDemonstrations,
  field: (step, { task }) => {
    const like = task.similarity ?? bagOfWords;
    return step.trajectories.map(({ sample }) => {
      const wanted = clauses(task.supervised!(sample.row));
      return clauses(sample.completion).map((clause) => wanted.map((other) => like(clause, other)));
    });
  },
  probe: () => [[[1]], [[0.5]], [[1]], [[0.5]]],
};

const clauses = (text: string): string[] => text.split(/[.,;:!?\n]+/).filter((clause) => clause.trim() !== "");

/** The task's reward named `judge`, which may have weight 0, else token F1 to the right answer. */
export const judgeScore: Supply = {
  is: "a judge's score of each rollout: the reward named judge, else token F1 to the demonstration",
  missing: (task, config, params) =>
    task.rewards.some(({ name }) => name === "judge")
      ? undefined
      : needsDemonstrations(task, config, params) && {
          what: `task ${task.name} has neither a judge nor demonstrations`,
          remedy:
            'export a reward function named judge (weight 0 keeps it out of the sum), or give the prompt file a column "demonstration"',
        },
  field: (step, { task }) =>
    step.trajectories.map(({ rewards, sample }) => {
      if ("judge" in rewards) return Number.isNaN(rewards.judge) ? 0 : rewards.judge;
      return tokenF1(sample.completion, task.supervised!(sample.row));
    }),
  probe: probes.trajectory,
};

/** Up from nothing to the whole answer, weakest first. */
const hintOf = (answer: readonly number[], level: number, levels: number): number[] =>
  answer.slice(0, Math.floor(((answer.length - 1) * level) / levels));

/**
 * Failed groups are tried again after ever longer beginnings of the right answer; the rollout of the first that works takes
 * the place of the group's first rows. Their rewards stay those of the failed rollouts: the recipe decides what they earn.
 */
export const hintReward: Supply = {
  is: "rewards of rollouts after growing hints, the beginnings of the demonstration, by group that failed",
  missing: needsDemonstrations,
  rows: async (step, means) => {
    await once(step, "hints", async () => {
      const { params, state, config, session } = means;
      const tried: Record<string, number[]> = {};
      if (typeof state.step === "number" && state.step <= ((params.warmup_steps as number) ?? 0)) return tried;
      const levels = (params.hint_levels as number) ?? 8;
      for (const [g, p] of groupsOf(step).entries()) {
        if (ofPrompt(step, p).some((t) => t.total > 0)) continue;
        tried[String(g)] = [];
        const answer = demonstrationIds(means, step.prompts[p])!;
        for (let level = 1; level <= levels; level++) {
          const hint = hintOf(answer, level, levels);
          const context = [...step.prompts[p].ids, ...hint];
          if (context.length >= session.model.maxTokens) break;
          const random = { seed: config.seed, stream: streams.hint, step: means.step * levels + level };
          const [drawn] = await session.sample([context], 1, config, random);
          const whole = { ...drawn, prompt: p, ids: [...hint, ...drawn.ids] };
          const { trajectories } = await judged(means, step.prompts, [whole], "hint");
          const [{ total }] = trajectories;
          tried[String(g)].push(total);
          if (total <= 0) continue;
          let left = (params.replace_num as number) ?? 1;
          step.trajectories = step.trajectories.map((t) => {
            if (t.prompt !== p || left-- <= 0) return t;
            return { ...trajectories[0], ids: drawn.ids, context, total: t.total, rewards: t.rewards };
          });
          break;
        }
      }
      return tried;
    });
  },
  field: (step) => once(step, "hints", async () => ({})),
  probe: () => ({}),
};

/** Every second rollout of a group begins with a stretch of the demonstration, of random length, and goes on by itself. */
export const rollIn: Supply = {
  is: "1 on the tokens of the demonstration's beginning, which every second rollout goes on from",
  missing: needsDemonstrations,
  rows: async (step, means) => {
    const { config, session } = means;
    const chosen = groupsOf(step).flatMap((p) => ofPrompt(step, p).filter((_, k) => k % 2 === 1));
    const starts = chosen.map((t, i) => {
      const answer = demonstrationIds(means, step.prompts[t.prompt])!;
      const random = new Stream(config.seed, streams.hint, means.step, 1, i);
      return answer.slice(0, answer.length > 1 ? 1 + random.below(answer.length - 1) : 0);
    });
    const contexts = chosen.map((t, i) => [...t.context, ...starts[i]]);
    const drawn = await session.sample(contexts, 1, config, {
      seed: config.seed,
      stream: streams.hint,
      step: means.step,
    });
    const whole = drawn.map((c, i) => ({ ...c, prompt: chosen[i].prompt, ids: [...starts[i], ...c.ids] }));
    const { trajectories } = await judged(means, step.prompts, whole, "hint");
    const instead = new Map(chosen.map((t, i) => [t, { ...trajectories[i], given: starts[i].length }]));
    step.trajectories = step.trajectories.map((t) => instead.get(t) ?? t).filter((t) => t.scored);
  },
  field: (step) => step.trajectories.map((t) => t.ids.map((_, k) => Number(k < (t.given ?? 0)))),
  probe: probes.token,
};
