/**
 * @file The fields that a batch may hold, and how each lies over the levels.
 */
import type { Level } from "../rl/level.ts";

/** How a field lies: over a level, as a table of vocabulary rows a token, ragged in its own way, or unread JSON. */
export type Shape = "token" | "trajectory" | "group" | "batch" | "vocabulary" | "ragged" | "raw";

export interface Field {
  level: Level;
  data: Float64Array;
}

export interface FieldRule {
  shape: readonly Shape[];
  /** A log-probability: refused above 1e-6. */
  logProbability?: boolean;
  /** null stands for "not applicable"; the field `<name>.present` tells which are there. */
  nullable?: boolean;
  /** Whether the recipe says how it lies. */
  declared?: boolean;
}

/** The fields that any recipe may read; further ones are declared by the recipe that reads them. */
export const STANDARD_FIELDS: Readonly<Record<string, FieldRule>> = {
  group: { shape: ["trajectory"] },
  length: { shape: ["trajectory"] },
  reward: { shape: ["trajectory"], nullable: true },
  rewards: { shape: ["raw"] },
  reward_token: { shape: ["token"] },
  mask: { shape: ["token"] },
  logp: { shape: ["token"], logProbability: true },
  logp_old: { shape: ["token"], logProbability: true },
  logp_ref: { shape: ["token"], logProbability: true },
  logp_rollout: { shape: ["token"], logProbability: true },
  entropy: { shape: ["token"] },
  value: { shape: ["token"] },
  value_old: { shape: ["token"] },
  advantage: { shape: ["token", "trajectory"] },
  return: { shape: ["token", "trajectory"] },
  weight: { shape: ["token", "trajectory"] },
  keep: { shape: ["trajectory"] },
  keep_token: { shape: ["token"] },
  turn: { shape: ["token"] },
  tokens: { shape: ["token"] },
  correct: { shape: ["trajectory"] },
  truncated: { shape: ["trajectory"] },
  logits: { shape: ["vocabulary"] },
  logits_ref: { shape: ["vocabulary"] },
  seq_logp: { shape: ["trajectory"] },
  seq_logp_ref: { shape: ["trajectory"] },
  difficulty: { shape: ["trajectory"] },
  pairs: { shape: ["raw"] },
  prompt_stats: { shape: ["raw"] },
  step_state: { shape: ["raw"] },
};
