/**
 * @file Learning from a data set: preferences, labelled completions, demonstrations, and reward models. A step is one
 * optimiser step on `promptsPerStep` examples.
 */
import type { Batch } from "../batch.ts";
import { recipeOf } from "../composition.ts";
import type { TrainConfig } from "../config.ts";
import {
  checkFormat,
  dataBatch,
  labelsOf,
  mismatched,
  preferenceMetrics,
  scoreMetrics,
  sumsOf,
} from "../data/batch.ts";
import type { Example } from "../data/example.ts";
import type { DataSource } from "../data/source.ts";
import { type Learned, tokenize } from "../data/tokens.ts";
import { CohortError } from "../errors.ts";
import type { EvalResult } from "../evaluate.ts";
import { type DataMetrics, type StepMetrics, stepMetrics } from "../log.ts";
import { addLora } from "../model/load.ts";
import { memoryEstimate } from "../model/memory.ts";
import type { Scores } from "../model/transformer.ts";
import {
  type DataKind,
  needs,
  objective,
  type Params,
  prepare,
  type Recipe,
  readsReferenceRows,
  resolveParams,
} from "../recipe.ts";
import { exp } from "../rl/scalar.ts";
import { Stream, streams } from "../rng.ts";
import type { SampleLine } from "../run.ts";
import { Session } from "../session.ts";
import { mean } from "../statistics.ts";
import { Learner, type LearnerParts } from "./learner.ts";
import { openModel, type Runtime } from "./model.ts";
import { referenceKind } from "./reference.ts";

/** Batch fields that a data set of each kind supplies, those of the policies among them. */
const COMMON = ["group", "length", "mask", "tokens", "logp", "logp_ref", "entropy", "row"];
const SUPPLIED: Readonly<Record<DataKind, ReadonlySet<string>>> = {
  pairs: new Set([...COMMON, "pairs", "margin", "correct", "sum_pi_sq"]),
  labels: new Set([...COMMON, "correct", "seq_logp_kl", "seq_logp_kl_ref"]),
  completions: new Set(COMMON),
};

/** What the recipe reads of a data set of its kind, asked with made-up examples. */
function fieldsRead(recipe: Recipe, params: Params, kind: DataKind): Set<string> {
  const sequence = { ids: [1, 2, 3], from: 1, mask: [1, 1] } as const;
  const text = { where: "", prompt: "", completion: "" };
  const example: Example =
    kind === "pairs"
      ? { format: "preference", where: "", prompt: "", chosen: "", rejected: "" }
      : kind === "labels"
        ? { format: "unpaired", ...text, label: true }
        : { format: "prompt-completion", ...text };
  const per = kind === "pairs" ? 2 : 1;
  const learned = [0, 1].map(() => new Array(per).fill(sequence) as Learned[]);
  const tokens = 4 * per;
  const numbers = (n: number, x: number) => new Float64Array(n).fill(x);
  const probe = dataBatch([example, example], learned, {
    logp: numbers(tokens, -1),
    logp_ref: numbers(tokens, -1),
    entropy: numbers(tokens, 1),
    ...(recipe.rows && { row: numbers(tokens, 0.5) }),
    ...(recipe.trains?.head === "score" && { reward: numbers(2 * per, 0) }),
    ...(kind === "pairs" && { sum_pi_sq: numbers(tokens, 0.5) }),
    ...(kind === "labels" && { seq_logp_kl: numbers(2, -1), seq_logp_kl_ref: numbers(2, -1) }),
  });
  const reads = new Set(needs(recipe, params, probe));
  if (readsReferenceRows(recipe, params)) reads.add("logp_ref");
  return reads;
}

/** Fields that the recipe reads and a data set of its kind lacks: why it cannot train from one. */
export function readsBeyondData(recipe: Recipe, params: Params = resolveParams(recipe)): string[] {
  const kind = recipe.trains?.data;
  if (!kind) return ["a data set"];
  const scored = recipe.trains?.head === "score";
  return [...fieldsRead(recipe, params, kind)].filter(
    (name) => !SUPPLIED[kind].has(name) && !(scored && name === "reward"),
  );
}

/** Share of the steps whose completions the policy samples. */
const sampledShare = ({ trains }: Recipe, params: Params): number =>
  trains?.sampled ? Number(params[trains.sampled]) : 0;

/** Tokens of examples that are held in memory; beyond, they are made anew at each pass. */
const KEPT_TOKENS = 2 ** 22;

/** A batch before the policy's scores: what stays the same through a step. */
interface Ready {
  batch: Batch;
  sequences: readonly Learned[];
  examples: readonly Example[];
  logpRef: Float32Array | undefined;
}

export class DataTrainer extends Learner {
  readonly source: DataSource;
  readonly #kind: DataKind;
  readonly #reads: ReadonlySet<string>;
  readonly #kept = new Map<Example, { sequences: Learned[]; logpRef?: Float32Array }>();
  #room = KEPT_TOKENS;

  private constructor(given: LearnerParts & { source: DataSource; kind: DataKind; reads: ReadonlySet<string> }) {
    super(given);
    this.source = given.source;
    this.#kind = given.kind;
    this.#reads = given.reads;
  }

  /**
   * Loads the model and checks everything that can be checked before work starts: recipe, parameters, the format of the
   * data set, every example of the run against the context.
   */
  static async create(config: TrainConfig, source: DataSource, runtime: Runtime): Promise<DataTrainer> {
    const recipe = await recipeOf(config);
    const params = resolveParams(recipe, config.params);
    const kind = checkFormat(recipe, source.format, source.name);
    const missing = readsBeyondData(recipe, params);
    if (missing.length > 0) {
      throw new CohortError(
        "bad-config",
        `recipe ${recipe.id} reads ${missing.join(", ")}, which data sets do not have`,
        "choose another recipe, or replay it on batches that carry them",
      );
    }
    const reads = fieldsRead(recipe, params, kind);
    const scored = recipe.trains?.head === "score";
    refuseMeaningless(config, scored, reads.has("seq_logp_kl"));
    const reference = referenceKind(config, recipe, reads);
    const loaded = await openModel(config, source, runtime, { scoreHead: scored });
    if (config.lora && !loaded.model.lora) {
      const { rank, alpha, targetModules } = config.lora;
      const base = typeof config.model === "string" ? { baseModel: config.model } : {};
      addLora(
        loaded.model,
        runtime.numeric,
        { rank, alpha, targetModules, rankStabilized: false, ...base },
        config.seed,
      );
    }
    const session = new Session(runtime.device, runtime.numeric, loaded, config.optimizer);
    const trainer = new DataTrainer({ config, recipe, params, session, runtime, reference, source, kind, reads });
    try {
      trainer.#check();
    } catch (error) {
      trainer.close();
      throw error;
    }
    return trainer;
  }

  /** Every example that the run will see fits. */
  #check(): void {
    const { config, source } = this;
    const used = Math.min(source.train.length, config.steps * config.promptsPerStep);
    this.#learned(source.examples(used, config.seed));
    this.#learned(this.#heldout);
  }

  get #heldout(): Example[] {
    return this.source.heldout.slice(0, this.config.evalPrompts);
  }

  get #scored(): boolean {
    return this.recipe.trains?.head === "score";
  }

  #learned(examples: readonly Example[]): Learned[][] {
    const { tokenizer, stopIds, model } = this.session.loaded;
    // A score is read behind the last token, which takes one place more.
    const encoder = { tokenizer, stopIds, context: model.maxTokens - (this.#scored ? 1 : 0) };
    return examples.map((example) => {
      const known = this.#kept.get(example);
      if (known) return known.sequences;
      const sequences = tokenize(example, encoder);
      const size = sequences.reduce((n, s) => n + s.ids.length, 0);
      if (size <= this.#room) {
        this.#kept.set(example, { sequences });
        this.#room -= size;
      }
      return sequences;
    });
  }

  /** Log-probabilities under the reference, which does not change: asked once of every example that is kept. */
  async #referenceOf(
    examples: readonly Example[],
    learned: readonly Learned[][],
    options: { microBatches: number; temperature: number },
  ): Promise<Float32Array | undefined> {
    if (this.policyReference.kind === "none") return undefined;
    const found = examples.map((example) => this.#kept.get(example)?.logpRef);
    const asked = learned.filter((_, k) => !found[k]);
    const all = asked.length > 0 ? (await this.policyReference.logp(asked.flat(), options))! : new Float32Array();
    let at = 0;
    const parts = examples.map((example, k) => {
      if (found[k]) return found[k];
      const from = at;
      at += learned[k].reduce((n, s) => n + s.ids.length - s.from, 0);
      const part = all.slice(from, at);
      const kept = this.#kept.get(example);
      if (kept) kept.logpRef = part;
      return part;
    });
    return Float32Array.from(parts.flatMap((part) => [...part]));
  }

  /** Completions of the policy in place of the examples' own, where this step is one of the recipe's share of such. */
  async #sampled(examples: readonly Example[]): Promise<Learned[][] | null> {
    const { config, session, step } = this;
    if (new Stream(config.seed, streams.source, step).uniform() >= sampledShare(this.recipe, this.params)) return null;
    const prompts = this.#learned(examples).map(([{ ids, from }]) => ids.slice(0, from));
    const completions = await session.sample(prompts, 1, config, { seed: config.seed, stream: streams.sample, step });
    return completions.map(({ ids }, k) => {
      const mask = new Array<1>(ids.length).fill(1);
      return [{ ids: [...prompts[k], ...ids], from: prompts[k].length, mask }];
    });
  }

  /**
   * Tokens, reference scores, and what KTO asks of mismatched completions, as a batch.
   * @param sampled in place of the examples' own completions
   */
  async #ready(
    examples: readonly Example[],
    microBatches: number,
    sampled: readonly Learned[][] | null = null,
  ): Promise<Ready> {
    const learned = sampled ?? this.#learned(examples);
    const sequences = learned.flat();
    const options = { microBatches, temperature: 1 };
    const logpRef = await (sampled
      ? this.policyReference.logp(sequences, options)
      : this.#referenceOf(examples, learned, options));
    const more: Record<string, ArrayLike<number> | undefined> = { logp_ref: logpRef };
    if (this.#reads.has("seq_logp_kl")) {
      const others = mismatched(sequences, this.session.model.maxTokens);
      const own = dataBatch(
        examples,
        others.map((s) => [s]),
      );
      more.seq_logp_kl = sumsOf(own, (await this.session.score(others, options)).logp);
      more.seq_logp_kl_ref = sumsOf(own, (await this.policyReference.logp(others, options))!);
    }
    return { batch: dataBatch(examples, learned, more), sequences, examples, logpRef };
  }

  async trainStep(): Promise<{ metrics: StepMetrics; lines: SampleLine[] }> {
    const { config, session, source, runtime, recipe, params } = this;
    const began = runtime.clock();
    const examples = source.examples(config.promptsPerStep, config.seed, this.cursor);
    const ready = await this.#ready(examples, config.microBatches, await this.#sampled(examples));
    const prepared = prepare(recipe, params, ready.batch, this.state, { metrics: false });
    this.state = prepared.state;
    const measured = this.#scored
      ? await this.#stepScores(prepared.batch, ready)
      : await this.#stepTokens(prepared.batch, ready);
    this.step++;
    this.cursor += examples.length;
    const tokens = ready.sequences.reduce((n, s) => n + s.ids.length, 0);
    this.tokens += tokens;
    const seconds = (runtime.clock() - began) / 1000;
    return {
      metrics: stepMetrics({
        ...measured,
        step: this.step,
        epoch: this.cursor / source.train.length,
        num_tokens: this.tokens,
        step_time: seconds,
        tokens_per_second: tokens / seconds,
        digest: await session.digest(),
      } as Partial<StepMetrics> & { step: number }),
      lines: [],
    };
  }

  /** An optimiser step of a policy. */
  async #stepTokens(batch: Batch, ready: Ready): Promise<Record<string, number | null>> {
    const options = { microBatches: this.config.microBatches, temperature: 1 };
    const now = await this.policy(ready.sequences, options);
    const { result, gradNorm, learningRate } = await this.optimizerStep(
      await this.#withPolicy(batch, ready, now, this.config.microBatches),
      ready.sequences,
      now,
      "the scoring pass's",
      options,
    );
    // Given completions are no samples of the policy: a KL estimated on them says nothing.
    const { kl: _, ...metrics } = result.metrics;
    return {
      ...metrics,
      ...this.#policyMetrics(batch, ready, now.logp),
      loss: result.loss,
      grad_norm: gradNorm,
      learning_rate: learningRate,
    };
  }

  /** An optimiser step of a reward model. */
  async #stepScores(batch: Batch, ready: Ready): Promise<Record<string, number | null>> {
    const { session, recipe, params, config } = this;
    const { microBatches } = config;
    const now = await session.rewards(ready.sequences, { microBatches });
    const result = objective(
      recipe,
      params,
      batch.with({ reward: { level: batch.trajectory, data: Float64Array.from(now) } }),
    );
    const derivative = result.gradients.reward.data;
    const trained = await session.forwardBackwardRewards(ready.sequences, derivative, { microBatches });
    this.assertSame(now, trained, "the scoring pass's");
    const { gradNorm, learningRate } = await session.optimStep(this.optimizerSteps);
    return { ...scoreMetrics(batch, now), loss: result.loss, grad_norm: gradNorm, learning_rate: learningRate };
  }

  /** The batch with what the recipe reads of the policy as it is now, beyond log-probabilities and entropies. */
  async #withPolicy(batch: Batch, ready: Ready, { logp }: Scores, microBatches: number): Promise<Batch> {
    if (!this.#reads.has("sum_pi_sq")) return batch;
    // ln Σ p² = lse(2z) − 2 lse(z), and at half the temperature lp' = 2z − lse(2z): no row over the vocabulary is kept.
    const sharp = await this.session.score(ready.sequences, { microBatches, temperature: 0.5 });
    const data = Float64Array.from(logp, (lp, t) => Math.min(1, exp(2 * lp - sharp.logp[t])));
    return batch.with({ sum_pi_sq: { level: batch.token, data } });
  }

  #policyMetrics(batch: Batch, ready: Ready, logp: ArrayLike<number>): Partial<DataMetrics> {
    const good = this.#kind === "completions" ? null : labelsOf(ready.examples);
    if (!good) return {};
    return preferenceMetrics(batch, good, logp, ready.logpRef, Number(this.params.beta ?? 1));
  }

  /** Loss and accuracies on held-out examples. */
  async evaluate(): Promise<EvalResult> {
    const { session, recipe, params, config } = this;
    const examples = this.#heldout;
    if (examples.length === 0) throw new CohortError("bad-config", "evalPrompts is 0", "give at least 1");
    // Pieces no larger than those of training.
    const microBatches = Math.max(
      1,
      Math.ceil((examples.length * config.microBatches) / Math.max(1, config.promptsPerStep)),
    );
    const ready = await this.#ready(examples, microBatches);
    const { batch } = prepare(recipe, params, ready.batch, this.state, { metrics: false });
    let metrics: EvalResult["metrics"];
    if (this.#scored) {
      const scores = await session.rewards(ready.sequences, { microBatches });
      const full = batch.with({ reward: { level: batch.trajectory, data: Float64Array.from(scores) } });
      metrics = { loss: objective(recipe, params, full).loss, ...scoreMetrics(batch, scores) };
    } else {
      const now = await this.policy(ready.sequences, { microBatches, temperature: 1 });
      const { logp, entropy, row } = now;
      const full = await this.#withPolicy(batch, ready, now, microBatches);
      const replace = row && { row };
      const { loss } = objective(recipe, params, full, { logp, entropy }, { state: this.state, replace });
      metrics = { loss, entropy: mean(entropy), ...this.#policyMetrics(batch, ready, logp) };
    }
    return {
      prompts: examples.length,
      samplesPerPrompt: 0,
      reward: null,
      "completions/mean_length": mean(ready.sequences.map((s) => s.ids.length - s.from)),
      metrics,
      samples: [],
    };
  }

  memory(): number {
    const { config, session } = this;
    const { model } = session;
    const used = this.#learned(this.source.examples(Math.min(64, config.promptsPerStep), config.seed));
    const samples = sampledShare(this.recipe, this.params) > 0;
    const given = Math.max(...used.flat().map((s) => s.ids.length));
    const sampled = Math.max(...used.flat().map((s) => s.from)) + config.maxTokens;
    const longest = samples ? Math.min(model.maxTokens, Math.max(given, sampled)) : given;
    const each = Math.ceil((config.promptsPerStep * used[0].length) / config.microBatches);
    const size = (list: { size: number }[]) => list.reduce((sum, p) => sum + p.size, 0);
    return memoryEstimate({
      config: model.config,
      trainable: size(model.trainable),
      adapters: size(model.all) - size([...model.parameters.values()]),
      referenceCopy: ["copy", "model"].includes(this.policyReference.kind),
      microBatchTokens: each * longest,
      microBatchScored: each * longest,
      cacheRows: samples ? config.promptsPerStep * longest : 0,
      maxTokens: longest,
      threads: this.runtime.threads,
    });
  }
}

/**
 * Loss and accuracies of the configuration's model on held-out examples.
 * @param reference folder of the reference policy's weights; null: the model itself, so that log-ratios are 0
 */
export async function evaluateData(
  config: TrainConfig,
  source: DataSource,
  runtime: Runtime,
  reference: string | null,
): Promise<EvalResult> {
  const trainer = await DataTrainer.create(config, source, runtime);
  try {
    await trainer.policyReference.load(reference);
    return await trainer.evaluate();
  } finally {
    trainer.close();
  }
}

/** Settings that say nothing without rollouts are refused, not passed over. */
function refuseMeaningless(config: TrainConfig, scored: boolean, mismatches: boolean): void {
  const refuse = (what: string, remedy: string) => {
    throw new CohortError("bad-config", what, remedy);
  };
  for (const name of ["miniBatches", "epochsPerBatch"] as const) {
    if (config[name] === 1) continue;
    refuse(
      `${name} is ${config[name]}, and a step on a data set is one optimiser step`,
      "set promptsPerStep to the examples of an optimiser step, and steps to as many as there shall be",
    );
  }
  if (config.warmStart)
    refuse("warmStart before a data set", "train with recipe sft first, and give its checkpoint as model");
  if (scored && config.lora) refuse("lora with a reward model, whose new head is no adapter", "leave lora out");
  if (mismatches && config.promptsPerStep < 2) {
    refuse("promptsPerStep is 1, and the reference point needs another example's completion", "give 2 or more");
  }
}
