/** @file Right answers: demonstrations in groups, and what the policy says of gold answers. */
import type { Means, StepPrompt } from "../trajectories.ts";
import type { Supply } from "./types.ts";

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
