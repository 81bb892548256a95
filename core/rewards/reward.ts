/** @file What a reward function is: the seam between the trainer and the user's own judgement. */

/** One chat message of a prompt. */
export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

/** One row of a task or prompt file: the prompt and any other columns. */
export interface Row {
  readonly prompt: string | readonly ChatMessage[];
  readonly [column: string]: unknown;
}

/** What a reward function sees of one completion. */
export interface Sample {
  /** the prompt as the row gave it */
  readonly prompt: string | readonly ChatMessage[];
  /** the generated text, without the stop token or character */
  readonly completion: string;
  /** the generated token ids, with the stop token where there was one */
  readonly completionIds: ArrayLike<number>;
  readonly row: Row;
}

/** A score of one completion; null where this reward does not apply to it. */
export type RewardFunction = (sample: Sample) => number | null | Promise<number | null>;

/** A reward function under the name that metrics carry, and its weight in the sum. */
export interface RewardSpec {
  readonly name: string;
  readonly fn: RewardFunction;
  readonly weight: number;
}
