/** @file Examples as a batch that recipes read, and what TRL's trainers report of it. */
import { Batch } from "../batch.ts";
import { CohortError } from "../errors.ts";
import type { DataMetrics } from "../log.ts";
import type { DataKind, Recipe } from "../recipe.ts";
import { mean } from "../statistics.ts";
import type { DataFormat, Example } from "./example.ts";
import type { Learned } from "./tokens.ts";

/** Which formats serve a recipe of each kind. A preference is also two labelled completions, good and bad. */
const SERVES: Readonly<Record<DataKind, readonly DataFormat[]>> = {
  pairs: ["preference"],
  labels: ["unpaired", "preference"],
  completions: ["prompt-completion", "messages", "text"],
};

/** What examples of each kind are, for people. */
export const dataKinds: Readonly<Record<DataKind, string>> = {
  pairs: "preferences (prompt, chosen, rejected)",
  labels: "labelled completions (prompt, completion, label) or preferences",
  completions: "demonstrations (prompt, completion; messages; or text)",
};

/** @throws CohortError("bad-config") where the recipe learns from other examples than the data set has */
export function checkFormat(recipe: Recipe, format: DataFormat, name: string): DataKind {
  const kind = recipe.trains?.data;
  if (!kind) {
    throw new CohortError(
      "bad-config",
      `recipe ${recipe.id} does not learn from a data set`,
      "choose another recipe (sft, dpo, reward-model-bt, …), or give prompts and a reward",
    );
  }
  if (SERVES[kind].includes(format)) return kind;
  throw new CohortError(
    "bad-config",
    `recipe ${recipe.id} learns from ${SERVES[kind].join(" or ")} examples, ${name} has ${format} ones`,
    "choose another recipe or data set",
  );
}

/**
 * The batch of some examples: trajectories 2j and 2j + 1 are the chosen and the rejected completion of preference j.
 *
 * @param learned the trajectories of each example
 * @param more fields over tokens or trajectories: `logp_ref`, …
 */
export function dataBatch(
  examples: readonly Example[],
  learned: readonly (readonly Learned[])[],
  more: Record<string, ArrayLike<number> | undefined> = {},
): Batch {
  const all = learned.flat();
  const fields: Record<string, ArrayLike<number>> = {
    mask: Float64Array.from(all.flatMap((s) => s.mask as readonly number[])),
    tokens: Float64Array.from(all.flatMap((s) => s.ids.slice(s.from))),
  };
  const shapes: Record<string, "token" | "trajectory"> = { mask: "token", tokens: "token", logp_ref: "token" };
  for (const [name, data] of Object.entries(more)) if (data) fields[name] = data;
  const labels = labelsOf(examples);
  if (labels) fields.correct = labels;
  for (const name of ["correct", "reward", "seq_logp_kl", "seq_logp_kl_ref"]) shapes[name] = "trajectory";
  const raw: Record<string, unknown> = {};
  if (examples[0].format === "preference") {
    raw.pairs = examples.map((_, j) => [2 * j, 2 * j + 1]);
    const margins = examples.map((e) => (e.format === "preference" ? e.margin : undefined));
    if (margins.some((m) => m !== undefined)) raw.margin = margins.map((m) => m ?? 0);
  }
  return Batch.from({
    lengths: all.map((s) => s.ids.length - s.from),
    group: learned.flatMap((list, j) => list.map(() => j)),
    fields,
    shapes,
    raw,
  });
}

/** 1 for a good, 0 for a bad completion, in the order of the trajectories; null where examples do not say. */
export function labelsOf(examples: readonly Example[]): number[] | null {
  const { format } = examples[0];
  if (format === "preference") return examples.flatMap(() => [1, 0]);
  if (format !== "unpaired") return null;
  return examples.map((e) => Number(e.format === "unpaired" && e.label));
}

/** Every prompt with the next one's completion, cut at the context: what KTO's reference point is measured on. */
export function mismatched(learned: readonly Learned[], context: number): Learned[] {
  return learned.map(({ ids, from }, i) => {
    const next = learned[(i + 1) % learned.length];
    const other = [...ids.slice(0, from), ...next.ids.slice(next.from)].slice(0, context);
    return { ids: other, from, mask: new Array<1>(other.length - from).fill(1) };
  });
}

/** Σ m·x of each trajectory. */
export function sumsOf(batch: Batch, x: ArrayLike<number>): Float64Array {
  const mask = batch.fields.get("mask")!.data;
  const { offsets } = batch;
  return Float64Array.from({ length: batch.trajectory.size }, (_, i) => {
    let sum = 0;
    for (let t = offsets[i]; t < offsets[i + 1]; t++) sum += mask[t] * x[t];
    return sum;
  });
}

/**
 * `rewards/*` and `logps/*` of preferences and labelled completions. The reward of a completion is beta times its
 * log-ratio to the reference, summed; without a reference, beta times its mean log-probability.
 */
export function preferenceMetrics(
  batch: Batch,
  good: readonly number[],
  logp: ArrayLike<number>,
  reference: ArrayLike<number> | undefined,
  beta: number,
): Partial<DataMetrics> {
  const sums = sumsOf(batch, logp);
  const counts = sumsOf(batch, new Float64Array(logp.length).fill(1));
  const base = reference && sumsOf(batch, reference);
  const reward = sums.map((s, i) => beta * (base ? s - base[i] : s / Math.max(1, counts[i])));
  const of = (x: Float64Array, label: number) => mean(Array.from(x).filter((_, i) => good[i] === label));
  const [chosen, rejected] = [of(reward, 1), of(reward, 0)];
  const metrics: Partial<DataMetrics> = {
    "rewards/chosen": chosen,
    "rewards/rejected": rejected,
    "rewards/margins": chosen === null || rejected === null ? null : chosen - rejected,
    "logps/chosen": of(sums, 1),
    "logps/rejected": of(sums, 0),
  };
  if (batch.raw.has("pairs")) {
    const won = (batch.raw.get("pairs") as [number, number][]).map(([w, l]) => Number(reward[w] > reward[l]));
    metrics["rewards/accuracies"] = mean(won);
  }
  return metrics;
}

/** What TRL's reward trainer reports of the scores of pairs. */
export function scoreMetrics(batch: Batch, score: ArrayLike<number>): Partial<DataMetrics> {
  const pairs = batch.raw.get("pairs") as [number, number][];
  const all = Array.from(score);
  return {
    accuracy: mean(pairs.map(([w, l]) => Number(score[w] > score[l]))),
    margin: mean(pairs.map(([w, l]) => score[w] - score[l])),
    min_reward: Math.min(...all),
    mean_reward: mean(all),
    max_reward: Math.max(...all),
  };
}
