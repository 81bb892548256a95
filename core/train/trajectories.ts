/** @file What a step is made of: prompts, the trajectories that follow them, and what supplies (supply.ts) work with. */
import type { TrainConfig } from "../config.ts";
import type { LoadedModel } from "../model/load.ts";
import type { Sequence } from "../model/pack.ts";
import { decodeContinuation } from "../model/tokenizer.ts";
import type { Params, State } from "../recipe.ts";
import { type RewardResult, type Row, runRewards, type Sample } from "../rewards/index.ts";
import type { Completion } from "../rollout.ts";
import type { Session } from "../session.ts";
import type { TaskSource } from "../tasks/index.ts";
import type { GroupBuffer } from "./buffer.ts";
import type { Critic } from "./critic.ts";
import type { PromptPool } from "./pool.ts";
import type { ReferencePolicy } from "./reference.ts";

/** A prompt of a step. */
export interface StepPrompt {
  row: Row;
  ids: number[];
  /** its index in the pool, the same at every step; without a pool its place in the step */
  index: number;
}

/** One member of a group, whoever wrote it. */
export interface Trajectory extends Completion {
  by: "policy" | "demonstration" | "hint" | "reference" | "buffer";
  /** ids that it was written after: those of the prompt, or of a longer one with a hint */
  context: readonly number[];
  sample: Sample;
  /** by name; NaN where a reward does not apply */
  rewards: Record<string, number>;
  total: number;
  /** false where no reward applies: it takes no part in training */
  scored: boolean;
  right: boolean;
  /** leading tokens that it was given, not drawn */
  given?: number;
  /** log-probabilities of the policy that drew it, where that is not the present one: of an earlier step */
  logpOld?: Float32Array;
}

export const sequenceOf = ({ context, ids }: Pick<Trajectory, "context" | "ids">): Sequence => ({
  ids: [...context, ...ids],
  from: context.length,
});

/** Completions as a reward function sees them: the stop id, and the stop character's tail, left out. */
export function asSamples(
  loaded: LoadedModel,
  rows: readonly Row[],
  prompts: readonly (readonly number[])[],
  completions: readonly Completion[],
): Sample[] {
  return completions.map(({ prompt, ids, finish }) => ({
    prompt: rows[prompt].prompt,
    completion: decodeContinuation(loaded.tokenizer, prompts[prompt], finish === "stop" ? ids.slice(0, -1) : ids, {
      skipSpecial: true,
    }),
    completionIds: ids,
    row: rows[prompt],
  }));
}

/** What a supply may use. */
export interface Means {
  readonly config: TrainConfig;
  readonly task: TaskSource;
  readonly session: Session;
  readonly params: Params;
  /** the recipe's, after the last step */
  readonly state: State;
  readonly reference: ReferencePolicy;
  readonly pool: PromptPool | null;
  readonly critic: Critic | null;
  /** the rollouts so far of the step, where the sampler is asked again after each round */
  readonly drawn: readonly Trajectory[];
  /** the sampler's outputs about the batch as it is, before its supplied fields are there */
  look(step: Step): Record<string, unknown>;
  /** groups of earlier steps */
  readonly buffer: GroupBuffer;
  /** steps done */
  readonly step: number;
  /** learning rate of the next optimiser step */
  readonly learningRate: number;
  /** pieces of a pass over a rollout batch */
  readonly microBatches: number;
}

/** Completions with their texts and rewards. */
export async function judged(
  { session, task }: Pick<Means, "session" | "task">,
  prompts: readonly StepPrompt[],
  completions: readonly Completion[],
  by: Trajectory["by"],
  contexts: readonly (readonly number[])[] = completions.map((c) => prompts[c.prompt].ids),
): Promise<{ trajectories: Trajectory[]; result: RewardResult }> {
  const rows = prompts.map((p) => p.row);
  const ids = prompts.map((p) => p.ids);
  const samples = asSamples(session.loaded, rows, ids, completions);
  const result = await runRewards(task.rewards, samples);
  const names = Object.keys(result.rewards);
  const trajectories = completions.map(({ prompt, ids, logp, entropy, finish }, i) => {
    const rewards: Record<string, number> = {};
    for (const name of names) rewards[name] = result.rewards[name][i];
    return {
      prompt,
      ids,
      logp,
      entropy,
      finish,
      by,
      context: contexts[i],
      sample: samples[i],
      rewards,
      total: result.total[i],
      scored: result.scored[i],
      right: task.isRight(rewards, result.total[i]),
    };
  });
  return { trajectories, result };
}

/** The step so far. */
export interface Step {
  prompts: readonly StepPrompt[];
  /** supplies add to it and replace in it */
  trajectories: Trajectory[];
  /** all rollouts of the policy, those among them that were not kept too */
  drawn: readonly Trajectory[];
  /** what the sampler decided before the rollouts */
  planned: Readonly<Record<string, unknown>>;
}

/** Trajectories of prompt p of the step. */
export const ofPrompt = (step: Step, p: number): Trajectory[] => step.trajectories.filter((t) => t.prompt === p);
