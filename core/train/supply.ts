/**
 * @file The fields that recipes may ask training for beside those of plain rollouts (`trains.supply`), each made by one entry
 * of the table below. A recipe names what it needs; nothing here knows a recipe.
 */
import type { TrainConfig } from "../config.ts";
import { CohortError } from "../errors.ts";
import type { Params, Recipe, SupplyName } from "../recipe.ts";
import type { TaskSource } from "../tasks/index.ts";
import * as buffer from "./supply/buffer.ts";
import * as column from "./supply/column.ts";
import * as continuation from "./supply/continuation.ts";
import * as demonstration from "./supply/demonstration.ts";
import * as head from "./supply/head.ts";
import * as passes from "./supply/pass.ts";
import * as pool from "./supply/pool.ts";
import * as reference from "./supply/reference.ts";
import * as segment from "./supply/segment.ts";
import * as text from "./supply/text.ts";
import type { Supply } from "./supply/types.ts";
import * as values from "./supply/value.ts";
import * as variant from "./supply/variant.ts";
import * as vines from "./supply/vines.ts";
import type { Means, Step } from "./trajectories.ts";

export const SUPPLIES: Readonly<Record<SupplyName, Supply>> = {
  prompt: pool.prompt,
  "prompt-stats": pool.promptStats,
  category: pool.category,
  "thompson-draws": pool.thompsonDraws,
  "pool-successes": pool.poolSuccesses,
  "pool-correct": pool.poolCorrect,
  "pool-tokens": pool.poolTokens,
  "pool-gradients-right": pool.poolGradientsRight,
  "pool-gradients-wrong": pool.poolGradientsWrong,
  "stored-logp": pool.storedLogp,
  "stored-logp-now": pool.storedLogpNow,
  "reference-reward": reference.referenceReward,
  "reference-rewards": reference.referenceRewards,
  "greedy-reward": reference.greedyReward,
  "reference-answers": reference.referenceAnswers,
  "win-probability": reference.winProbability,
  demonstration: demonstration.demonstration,
  "demonstration-tokens": demonstration.demonstrationTokens,
  "demonstration-reward": demonstration.demonstrationReward,
  anchor: demonstration.anchor,
  "clause-similarity": demonstration.clauseSimilarity,
  "judge-score": demonstration.judgeScore,
  "hint-reward": demonstration.hintReward,
  completion: text.completion,
  solution: text.solution,
  right: text.right,
  "signed-reward": text.signedReward,
  lengths: text.lengths,
  sentences: text.sentences,
  "sentence-type": text.sentenceType,
  segment: segment.segment,
  "segment-last": segment.segmentLast,
  "roll-in": demonstration.rollIn,
  multiplicity: buffer.multiplicity,
  "segment-count": segment.segmentCount,
  "segment-gain": segment.segmentGain,
  "segment-right": segment.segmentRight,
  "segment-outcome": segment.segmentOutcome,
  "segment-state": segment.segmentState,
  "segment-text": segment.segmentText,
  "segment-next": segment.segmentNext,
  "segment-belief": segment.segmentBelief,
  outcome: segment.outcome,
  "logp-at-temperature": passes.logpAtTemperature,
  collision: passes.collision,
  value: values.value,
  "value-now": values.valueNow,
  "outcome-return": values.outcomeReturn,
  logits: passes.logits,
  "last-hidden": head.lastHidden,
  "top-ids": head.topIds,
  "top-logits": head.topLogits,
  "top-place": head.topPlace,
  schedule: head.schedule,
  "thought-needed": column.thoughtNeeded,
  "thought-used": column.thoughtUsed,
  "thought-broken": column.thoughtBroken,
  "thought-decision": column.thoughtDecision,
  hits: column.hits,
  line: column.line,
  last: column.last,
  "text-embedding": column.textEmbedding,
  "author-embedding": column.authorEmbedding,
  "judge-digit": column.judgeDigit,
  "word-count": column.wordCount,
  "the-end": column.theEnd,
  "variant-pairs": variant.variantPairs,
  "vine-sets": vines.vineSets,
  signature: vines.signature,
  "reward-stream": text.rewardStream,
  "cut-values": continuation.cutValues,
  "probe-right": continuation.probeRight,
  "probe-confidence": continuation.probeConfidence,
  "buffer-score": buffer.bufferScore,
  "difficulty-bin": pool.difficultyBin,
  "bin-sizes": pool.binSizes,
  failure: pool.failure,
};

/** The supplies of a recipe, field by field. */
export function suppliesOf(recipe: Recipe): { field: string; supply: Supply }[] {
  return Object.entries(recipe.trains?.supply ?? {}).map(([field, name]) => ({ field, supply: SUPPLIES[name] }));
}

/** Supplied fields of a made-up batch, in the form of a case. */
export function probeFields(recipe: Recipe): Record<string, unknown> {
  const entries = suppliesOf(recipe).map(({ field, supply }) => [field, supply.probe?.(recipe.fields?.[field])]);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

/** @throws CohortError "bad-config" naming what the task or the configuration lacks for the recipe, and how to supply it */
export function checkSupplies(recipe: Recipe, params: Params, task: TaskSource, config: TrainConfig): void {
  for (const { field, supply } of suppliesOf(recipe)) {
    const missing = supply.missing?.(task, config, params);
    if (missing) {
      throw new CohortError(
        "bad-config",
        `recipe ${recipe.id} reads ${field}, ${supply.is}, and ${missing.what}`,
        missing.remedy,
      );
    }
    if (supply.whole && config.miniBatches > 1) {
      throw new CohortError(
        "bad-config",
        `recipe ${recipe.id} reads ${field}, ${supply.is}, which holds for the whole batch, and miniBatches is ${config.miniBatches}`,
        "set miniBatches to 1",
      );
    }
  }
}

/** Adds and replaces trajectories as the recipe's supplies want it. */
export async function supplyRows(recipe: Recipe, step: Step, means: Means): Promise<void> {
  const rows = new Set(suppliesOf(recipe).map(({ supply }) => supply.rows));
  for (const add of rows) await add?.(step, means);
}

/** The supplied fields of a step, in the form of a case. */
export async function supplyFields(recipe: Recipe, step: Step, means: Means): Promise<Record<string, unknown>> {
  const fields: Record<string, unknown> = {};
  for (const { field, supply } of suppliesOf(recipe)) {
    const value = await supply.field?.(step, means, recipe.fields?.[field]);
    if (value !== undefined) fields[field] = value;
  }
  return fields;
}

/** The supplied fields about prompts of the pool, before there are rollouts. */
export function askFields(recipe: Recipe, prompts: readonly number[], means: Means): Record<string, unknown> {
  const entries = suppliesOf(recipe).map(({ field, supply }) => [field, supply.ask?.(prompts, means)]);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}
