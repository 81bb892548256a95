/**
 * @file One step, and the loop over steps. No algorithm inside: what a recipe decides reaches the model as dlogp and
 * dentropy, one number a token.
 *
 *   prompts → rollouts → rewards → prepare (advantages) → for each optimiser step: objective → backward → AdamW
 */
import type { TrainHooks, TrainResult } from "./api.ts";
import { Batch } from "./batch.ts";
import { recipeOf } from "./composition.ts";
import { describeConfig, type TrainConfig } from "./config.ts";
import type { Device } from "./device.ts";
import { CohortError } from "./errors.ts";
import { type EvalResult, type EvalSample, type PromptOutcome, summarize } from "./evaluate.ts";
import type { Clock, Storage } from "./host.ts";
import { lengthMetrics, rewardMetrics, type StepMetrics, samplingMetrics, stepMetrics } from "./log.ts";
import type { Numeric } from "./math.ts";
import { modelConfig } from "./model/config.ts";
import { openModelDirectory } from "./model/directory.ts";
import { addLora, copyModel, type LoadedModel, loadModel, newModel, saveModel } from "./model/load.ts";
import { memoryEstimate } from "./model/memory.ts";
import type { Sequence } from "./model/pack.ts";
import {
  byteTokenizer,
  type ChatMessage,
  characterTokenizer,
  decodeContinuation,
  type Tokenizer,
} from "./model/tokenizer.ts";
import type { Transformer } from "./model/transformer.ts";
import {
  loadRecipe,
  needs,
  objective,
  type Params,
  prepare,
  type Recipe,
  resolveParams,
  type State,
} from "./recipe.ts";
import { dryRun, type Row, runRewards, type Sample } from "./rewards/index.ts";
import { exp } from "./rl/scalar.ts";
import { Stream, streams } from "./rng.ts";
import type { Completion } from "./rollout.ts";
import { openRun, type Run } from "./run.ts";
import { Session } from "./session.ts";
import type { TaskSource } from "./tasks/index.ts";

/** What a host hands to the trainer. */
export interface Runtime {
  device: Device;
  numeric: Numeric;
  storage: Storage;
  clock: Clock;
  /** Threads of the device, for the memory estimate. */
  threads: number;
}

/** Sequences longer than this are refused rather than given an angle table and a cache. */
const MOST_TOKENS = 32768;

/** The model that a configuration names, or a new one of its sizes. */
export async function openModel(config: TrainConfig, task: TaskSource, runtime: Runtime): Promise<LoadedModel> {
  const { device, numeric, storage } = runtime;
  const precision = config.precision === "fast" ? 12 : config.precision;
  if (typeof config.model === "string") {
    return loadModel(device, numeric, storage, config.model, { precision, maxTokens: MOST_TOKENS });
  }
  const tokenizer = newTokenizer(config, task);
  const longest = "maxPromptTokens" in task ? Number(task.maxPromptTokens) + config.maxTokens + 2 : 256;
  const sizes = modelConfig({
    maxPositions: longest,
    ...config.model.config,
    vocabSize: tokenizer.vocabSize,
    bosId: tokenizer.bosId,
    eosIds: tokenizer.eosIds,
    padId: tokenizer.padId,
  });
  return newModel(device, numeric, sizes, tokenizer, config.seed, { precision });
}

function newTokenizer(config: TrainConfig, task: TaskSource): Tokenizer {
  if (typeof config.model === "string" || config.model.tokenizer === "byte") return byteTokenizer();
  const alphabet = config.model.alphabet ?? ("alphabet" in task ? String(task.alphabet) : null);
  if (alphabet === null) {
    throw new CohortError(
      "bad-config",
      "model.alphabet is null, and the task's prompts name no alphabet",
      'give model.alphabet, or model.tokenizer "byte"',
    );
  }
  return characterTokenizer(alphabet);
}

/** Token ids of a row's prompt: text with the tokenizer's begin token, or messages through its chat template. */
export function promptIds(tokenizer: Tokenizer, row: Row): number[] {
  if (typeof row.prompt === "string") return tokenizer.encode(row.prompt);
  return tokenizer.encode(tokenizer.chat(row.prompt as readonly ChatMessage[], { addGenerationPrompt: true }), {
    addSpecial: false,
  });
}

/** A prompt as text, for logs. */
function promptText(row: Row): string {
  return typeof row.prompt === "string" ? row.prompt : row.prompt.map((m) => `${m.role}: ${m.content}`).join("\n");
}

/** Completions as a reward function sees them: the stop id, and the stop character's tail, left out. */
function asSamples(
  loaded: LoadedModel,
  rows: readonly Row[],
  prompts: number[][],
  completions: Completion[],
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

/** A stop character that is one token ends completions beside the tokenizer's own end ids. */
function withStopCharacter(loaded: LoadedModel, task: TaskSource): LoadedModel {
  if (task.stopCharacter === undefined) return loaded;
  try {
    const ids = loaded.tokenizer.encode(task.stopCharacter, { addSpecial: false });
    if (ids.length === 1) return { ...loaded, stopIds: [...new Set([...loaded.stopIds, ids[0]])] };
  } catch (error) {
    // A tokenizer that cannot express the character never produces it.
    if (!(error instanceof CohortError)) throw error;
  }
  return loaded;
}

/** Held-out prompts, `evalSamples` completions each. */
export async function evaluate(session: Session, task: TaskSource, config: TrainConfig): Promise<EvalResult> {
  const rows = task.prompts("heldout", config.evalPrompts, config.seed);
  if (rows.length === 0) throw new CohortError("bad-input", `task ${task.name}: no held-out prompts`, "add some");
  const { loaded } = session;
  const prompts = rows.map((row) => promptIds(loaded.tokenizer, row));
  const n = config.temperature === 0 ? 1 : config.evalSamples;
  const completions = await session.sample(prompts, n, config, {
    seed: config.seed,
    stream: streams.evaluate,
    step: 0,
  });
  const samples = asSamples(loaded, rows, prompts, completions);
  const { rewards, total, scored } = await runRewards(task.rewards, samples);
  const right = samples.map((_, i) =>
    task.isRight(Object.fromEntries(Object.entries(rewards).map(([name, values]) => [name, values[i]])), total[i]),
  );
  const outcomes: PromptOutcome[] = rows.map((_, p) => {
    const of = <T>(list: ArrayLike<T>) => Array.from({ length: n }, (_, k) => list[p * n + k]);
    return {
      correct: of(right),
      rewards: of(total),
      lengths: of(completions.map((c) => c.ids.length)),
      ...(task.answer && { answers: of(samples).map((s) => task.answer!(s.completion)) }),
    };
  });
  const shown: EvalSample[] = rows.slice(0, 8).map((row, p) => ({
    prompt: promptText(row),
    completion: samples[p * n].completion,
    reward: scored[p * n] ? total[p * n] : null,
    correct: right[p * n],
  }));
  return summarize(outcomes, shown);
}

/** Fields of a batch that rollouts can supply; a recipe that reads others is refused before the run. */
const SUPPLIED = new Set([
  "group",
  "length",
  "reward",
  "rewards",
  "mask",
  "logp",
  "logp_old",
  "logp_rollout",
  "entropy",
  "tokens",
  "correct",
  "truncated",
]);

/** What the recipe reads with these parameters, asked with a made-up batch of two groups. */
function fieldsRead(recipe: Recipe, params: Params): Set<string> {
  const lengths = [2, 3, 2, 1];
  const tokens = lengths.reduce((a, b) => a + b);
  const probe = Batch.from({
    lengths,
    group: [0, 0, 1, 1],
    fields: {
      reward: [1, 0, 0, 1],
      mask: new Float64Array(tokens).fill(1),
      logp: new Float64Array(tokens).fill(-1),
      logp_old: new Float64Array(tokens).fill(-1),
      logp_rollout: new Float64Array(tokens).fill(-1),
      entropy: new Float64Array(tokens).fill(1),
      tokens: new Float64Array(tokens),
      truncated: [0, 0, 0, 1],
      correct: [1, 0, 0, 1],
    },
    shapes: { truncated: "trajectory", correct: "trajectory" },
    rewards: { reward: [1, 0, 0, 1] },
  });
  return new Set(needs(recipe, params, probe));
}

/** Batch fields that the recipe reads and rollouts do not have: why it cannot train from them. */
export function readsBeyondRollouts(recipe: Recipe, params: Params = resolveParams(recipe)): string[] {
  return [...fieldsRead(recipe, params)].filter(
    (name) => !SUPPLIED.has(name) && name !== "logp_ref" && !name.startsWith("rewards."),
  );
}

export class Trainer {
  readonly config: TrainConfig;
  readonly task: TaskSource;
  readonly recipe: Recipe;
  readonly params: Params;
  readonly session: Session;
  readonly runtime: Runtime;
  /** Optimiser steps of the whole run. */
  readonly optimizerSteps: number;
  /** The recipe's state after the last step. */
  state: State | undefined;
  /** Supervised steps done. */
  warmSteps = 0;
  /** Steps done. */
  step = 0;
  /** Tokens of prompts and completions so far. */
  tokens = 0;
  /** Rows of training prompts used so far. */
  cursor = 0;
  readonly #referenceKind: "none" | "copy" | "adapter-off";
  #reference: Transformer | null = null;

  private constructor(given: {
    config: TrainConfig;
    task: TaskSource;
    recipe: Recipe;
    params: Params;
    session: Session;
    runtime: Runtime;
    reference: "none" | "copy" | "adapter-off";
  }) {
    this.config = given.config;
    this.task = given.task;
    this.recipe = given.recipe;
    this.params = given.params;
    this.session = given.session;
    this.runtime = given.runtime;
    this.optimizerSteps = describeConfig(given.config).optimizerSteps;
    this.#referenceKind = given.reference;
  }

  /**
   * Loads the model and checks everything that can be checked before work starts: recipe, parameters, the fields it
   * needs, prompts against the context, rewards on two samples.
   */
  static async create(config: TrainConfig, task: TaskSource, runtime: Runtime): Promise<Trainer> {
    const recipe = await recipeOf(config);
    const params = resolveParams(recipe, config.params);
    if (recipe.trains?.refuse) {
      throw new CohortError("bad-config", `recipe ${recipe.id}: ${recipe.trains.refuse}`, "choose another recipe");
    }
    const reads = fieldsRead(recipe, params);
    const missing = [...reads].filter(
      (name) => !SUPPLIED.has(name) && !name.startsWith("rewards.") && name !== "logp_ref",
    );
    if (missing.length > 0) {
      throw new CohortError(
        "bad-config",
        `recipe ${recipe.id} reads ${missing.join(", ")}, which rollouts do not have`,
        "choose another recipe, or replay it on batches that carry them",
      );
    }
    const reference = referenceKind(config, recipe, reads);
    if (config.miniBatches > config.promptsPerStep) {
      throw new CohortError(
        "bad-config",
        `miniBatches is ${config.miniBatches} and promptsPerStep ${config.promptsPerStep}`,
        "a group stays whole: take at most as many miniBatches as prompts",
      );
    }
    if (config.warmStart && config.warmStart.steps > 0 && !task.supervised) {
      throw new CohortError("bad-config", `task ${task.name} has no examples for warmStart`, "leave warmStart out");
    }
    const loaded = withStopCharacter(await openModel(config, task, runtime), task);
    if (config.lora) {
      const { rank, alpha, targetModules } = config.lora;
      const lora = {
        rank,
        alpha,
        targetModules,
        rankStabilized: false,
        ...(typeof config.model === "string" && { baseModel: config.model }),
      };
      addLora(loaded.model, runtime.numeric, lora, config.seed);
    }
    const session = new Session(runtime.device, runtime.numeric, loaded, config.optimizer);
    const trainer = new Trainer({ config, task, recipe, params, session, runtime, reference });
    try {
      await trainer.#check();
    } catch (error) {
      trainer.close();
      throw error;
    }
    return trainer;
  }

  /** Prompts fit the context and the vocabulary; the rewards answer. */
  async #check(): Promise<void> {
    const { config, task, session } = this;
    const { tokenizer, model } = session.loaded;
    const rows = task.prompts("train", Math.min(1024, config.promptsPerStep * Math.max(1, config.steps)), config.seed);
    for (const row of rows) {
      const ids = promptIds(tokenizer, row);
      if (ids.length < 1 || ids.length >= model.maxTokens) {
        throw new CohortError(
          "bad-input",
          `prompt ${JSON.stringify(promptText(row).slice(0, 60))} has ${ids.length} tokens, the model's context is ${model.maxTokens}`,
          ids.length < 1 ? "give it some text" : "shorten it, or leave it out",
        );
      }
    }
    const two = rows.slice(0, 2);
    const samples = two.map((row) => ({ prompt: row.prompt, completion: "", completionIds: [], row }));
    await dryRun(task.rewards, samples);
  }

  /** Supervised steps on the task's own examples, from where they stopped; then the optimiser starts afresh. */
  async warmStart(hooks: TrainHooks): Promise<void> {
    const { config, task, session } = this;
    const plan = config.warmStart;
    if (!plan || this.warmSteps >= plan.steps) return;
    const { tokenizer, stopIds } = session.loaded;
    const { optimizer } = session;
    const sft = await loadRecipe("sft");
    const params = resolveParams(sft, {});
    optimizer.options = {
      ...config.optimizer,
      learningRate: plan.learningRate,
      schedule: "constant",
      warmupSteps: 0,
    };
    // Examples of another draw than the prompts of reinforcement learning.
    const seed = (config.seed ^ 0x5f3759df) >>> 0;
    while (this.warmSteps < plan.steps) {
      if (hooks.signal?.aborted) return;
      const rows = task.prompts("train", plan.batch, seed, this.warmSteps * plan.batch);
      const sequences: Sequence[] = rows.map((row) => {
        const prompt = promptIds(tokenizer, row);
        const completion = tokenizer.encode(task.supervised!(row), { addSpecial: false });
        return { ids: [...prompt, ...completion, stopIds[0]], from: prompt.length };
      });
      const lengths = sequences.map(({ ids, from }) => ids.length - from);
      const n = lengths.reduce((a, b) => a + b);
      const batch = Batch.from({ lengths, fields: { mask: new Float64Array(n).fill(1) } });
      // The negative log-likelihood is linear in logp: its derivative needs no forward pass.
      const { dlogp } = objective(sft, params, batch, { logp: new Float64Array(n) });
      const { logp } = await session.forwardBackward(sequences, { dlogp }, { microBatches: config.microBatches });
      const { loss } = objective(sft, params, batch, { logp });
      await session.optimStep(plan.steps);
      this.warmSteps++;
      hooks.onWarmStart?.({ step: this.warmSteps, steps: plan.steps, loss });
    }
    optimizer.reset(config.optimizer);
  }

  /** A reference policy that is a copy of the first weights, once there is one. */
  get reference(): Transformer | null {
    return this.#reference;
  }

  /**
   * Freezes the reference policy as the model is now, and keeps it in `dir`; or, where the run continues, takes it from
   * there: the first weights of a warm-started model are nowhere else.
   */
  async settleReference(dir: string): Promise<void> {
    if (this.#referenceKind !== "copy") return;
    const { session, runtime } = this;
    this.#reference = copyModel(session.model, runtime.numeric);
    if (await runtime.storage.exists(dir)) {
      const { tensors } = await openModelDirectory(runtime.storage, dir);
      for (const p of this.#reference.parameters.values()) {
        runtime.device.write(p.value, await tensors.get(p.name)!.load());
      }
    } else {
      await saveModel({ ...session.loaded, model: this.#reference }, runtime.storage, dir);
    }
  }

  get copiesReference(): boolean {
    return this.#referenceKind === "copy";
  }

  async #referenceScores(sequences: readonly Sequence[]): Promise<Float32Array | undefined> {
    if (this.#referenceKind === "none") return undefined;
    const { session, config } = this;
    const options = { microBatches: this.#pieces, temperature: config.temperature };
    if (this.#reference) return (await session.score(sequences, { ...options, model: this.#reference })).logp;
    const { lora } = session.model;
    lora!.enabled = false;
    try {
      return (await session.score(sequences, options)).logp;
    } finally {
      lora!.enabled = true;
    }
  }

  /** Pieces of a pass over a whole rollout batch: as large as the micro-batches of an optimiser step. */
  get #pieces(): number {
    return this.config.microBatches * this.config.miniBatches;
  }

  /** One step: rollouts, rewards, advantages, optimiser steps. */
  async trainStep(): Promise<{ metrics: StepMetrics; samples: { sample: Sample; reward: number | null }[] }> {
    const { config, task, session, recipe, params, runtime } = this;
    const began = runtime.clock();
    const { loaded } = session;
    const rows = task.prompts("train", config.promptsPerStep, config.seed, this.cursor);
    const prompts = rows.map((row) => promptIds(loaded.tokenizer, row));
    const random = { seed: config.seed, stream: streams.sample, step: this.step };
    const completions = await session.sample(prompts, config.rolloutsPerPrompt, config, random);
    const samples = asSamples(loaded, rows, prompts, completions);
    const { rewards, total, scored } = await runRewards(task.rewards, samples);
    const lengths = completions.map((c) => c.ids.length);
    const tokens = lengths.reduce((a, b) => a + b, 0) + completions.reduce((n, c) => n + prompts[c.prompt].length, 0);

    const used = completions.map((_, i) => i).filter((i) => scored[i]);
    const of = (i: number) => completions[i];
    const sequences: Sequence[] = used.map((i) => ({
      ids: [...prompts[of(i).prompt], ...of(i).ids],
      from: prompts[of(i).prompt].length,
    }));
    const metrics: Partial<StepMetrics> = {
      ...rewardMetrics(
        total,
        rewards,
        completions.map((c) => c.prompt),
        scored,
      ),
      ...lengthMetrics(
        lengths,
        completions.map((c) => c.finish === "stop"),
      ),
    };
    if (used.length > 0) {
      const logpRef = await this.#referenceScores(sequences);
      const batch = this.#batch(used, completions, { rewards, total, logpRef });
      const prepared = prepare(recipe, params, batch, this.state);
      this.state = prepared.state;
      // Health of the rollouts as the recipe sees them; what is reported of the raw rewards above stays.
      for (const [name, value] of Object.entries(prepared.metrics))
        if (!(name in metrics)) metrics[name as "reward"] = value;
      Object.assign(metrics, await this.#optimise(prepared.batch, used, completions, sequences));
    }
    this.step++;
    this.cursor += rows.length;
    this.tokens += tokens;
    const seconds = (runtime.clock() - began) / 1000;
    return {
      metrics: stepMetrics({
        ...metrics,
        step: this.step,
        num_tokens: this.tokens,
        step_time: seconds,
        tokens_per_second: tokens / seconds,
        digest: await session.digest(),
      }),
      samples: samples.map((sample, i) => ({ sample, reward: scored[i] ? total[i] : null })),
    };
  }

  /** The rollouts as a batch: what recipes read. */
  #batch(
    used: readonly number[],
    completions: readonly Completion[],
    given: { rewards: Record<string, Float64Array>; total: Float64Array; logpRef?: Float32Array },
  ): Batch {
    const chosen = used.map((i) => completions[i]);
    const lengths = chosen.map((c) => c.ids.length);
    const n = lengths.reduce((a, b) => a + b, 0);
    const fields: Record<string, ArrayLike<number>> = {
      reward: used.map((i) => given.total[i]),
      truncated: chosen.map((c) => (c.finish === "length" ? 1 : 0)),
      correct: used.map((i) => (this.#isRight(given, i) ? 1 : 0)),
      mask: new Float64Array(n).fill(1),
      logp_old: concat(chosen.map((c) => c.logp)),
      logp_rollout: concat(chosen.map((c) => c.logp)),
      entropy: concat(chosen.map((c) => c.entropy)),
      tokens: concat(chosen.map((c) => c.ids)),
    };
    if (given.logpRef) fields.logp_ref = given.logpRef;
    const renamed = new Map<number, number>();
    const group = chosen.map(({ prompt }) => {
      if (!renamed.has(prompt)) renamed.set(prompt, renamed.size);
      return renamed.get(prompt)!;
    });
    const shapes: Record<string, "token" | "trajectory"> = {};
    for (const name of ["reward", "truncated", "correct"]) shapes[name] = "trajectory";
    for (const name of ["mask", "logp_old", "logp_rollout", "entropy", "tokens", "logp_ref"]) {
      shapes[name] = "token";
    }
    const rewards = Object.fromEntries(
      Object.entries(given.rewards).map(([name, values]) => [
        name,
        used.map((i) => (Number.isNaN(values[i]) ? null : values[i])),
      ]),
    );
    return Batch.from({ lengths, group, fields, rewards, shapes });
  }

  #isRight(given: { rewards: Record<string, Float64Array>; total: Float64Array }, i: number): boolean {
    const scores = Object.fromEntries(Object.entries(given.rewards).map(([name, values]) => [name, values[i]]));
    return this.task.isRight(scores, given.total[i]);
  }

  /** The optimiser steps on one rollout batch: epochs × mini-batches, groups kept whole. */
  async #optimise(
    batch: Batch,
    used: readonly number[],
    completions: readonly Completion[],
    sequences: readonly Sequence[],
  ): Promise<Record<string, number | null>> {
    const { config, session, recipe, params } = this;
    const sums = new Map<string, { sum: number; n: number }>();
    const add = (name: string, value: number) => {
      const entry = sums.get(name) ?? { sum: 0, n: 0 };
      sums.set(name, { sum: entry.sum + value, n: entry.n + 1 });
    };
    let learningRate = 0;
    let onPolicy: Record<string, number | null> = {};
    let first = true;
    for (let epoch = 0; epoch < config.epochsPerBatch; epoch++) {
      for (const part of this.#miniBatches(used, completions, epoch)) {
        const sub = config.miniBatches === 1 ? batch : batch.select(part);
        const own = config.miniBatches === 1 ? sequences : part.map((k) => sequences[k]);
        const options = { microBatches: config.microBatches, temperature: config.temperature };
        // Before the first optimiser step the policy is the sampler, whose log-probabilities are the trainer's bit for bit.
        const drawn = part.map((k) => completions[used[k]]);
        const sampled = { logp: concat(drawn.map((c) => c.logp)), entropy: concat(drawn.map((c) => c.entropy)) };
        const now = first ? sampled : await session.score(own, options);
        const result = objective(recipe, params, sub, { logp: now.logp, entropy: now.entropy }, { state: this.state });
        this.state = result.state;
        const trained = await session.forwardBackward(own, { dlogp: result.dlogp, dentropy: result.dentropy }, options);
        this.#assertSame(now.logp, trained.logp, first ? "the sampler's" : "the scoring pass's");
        if (first) onPolicy = comparison(sampled.logp, trained.logp);
        const { gradNorm, learningRate: rate } = await session.optimStep(this.optimizerSteps);
        learningRate = rate;
        first = false;
        add("loss", result.loss);
        add("grad_norm", gradNorm);
        for (const [name, value] of Object.entries(result.metrics)) add(name, value);
      }
    }
    const means = Object.fromEntries([...sums].map(([name, { sum, n }]) => [name, sum / n]));
    return { ...means, learning_rate: learningRate, ...onPolicy };
  }

  /** Indices into the batch for each optimiser step of an epoch; prompts in a random order where there are several. */
  #miniBatches(used: readonly number[], completions: readonly Completion[], epoch: number): number[][] {
    const all = used.map((_, k) => k);
    const { miniBatches } = this.config;
    if (miniBatches === 1) return [all];
    const byPrompt = new Map<number, number[]>();
    for (const k of all) {
      const { prompt } = completions[used[k]];
      byPrompt.set(prompt, [...(byPrompt.get(prompt) ?? []), k]);
    }
    const groups = [...byPrompt.values()];
    const order = new Stream(this.config.seed, streams.shuffle, this.step, epoch).shuffle(groups.map((_, g) => g));
    const size = Math.ceil(groups.length / miniBatches);
    return Array.from({ length: Math.ceil(groups.length / size) }, (_, m) =>
      order.slice(m * size, (m + 1) * size).flatMap((g) => groups[g]),
    );
  }

  /** ρ ≡ 1 on policy is not hoped for, it is asserted: in bits, at every step. */
  #assertSame(want: Float32Array, got: Float32Array, whose: string): void {
    const a = new Uint32Array(want.buffer, want.byteOffset, want.length);
    const b = new Uint32Array(got.buffer, got.byteOffset, got.length);
    for (let i = 0; i < a.length; i++) {
      if (a[i] === b[i]) continue;
      // Fast kernels keep no bits: shapes choose tiles, tiles choose the order of sums.
      if (this.config.precision === "fast" && Math.abs(want[i] - got[i]) < FAST_TOLERANCE * (1 + Math.abs(want[i])))
        continue;
      const what = Number.isFinite(got[i]) ? "differs from" : "is not finite beside";
      throw new CohortError(
        Number.isFinite(got[i]) ? "not-exact" : "not-finite",
        `step ${this.step + 1}: the trainer's log-probability of token ${i} (${got[i]}) ${what} ${whose} (${want[i]})`,
        Number.isFinite(got[i])
          ? "this device breaks the exactness rules: run `cohort doctor`, or use --backend wasm"
          : "lower the learning rate, or use precision 24",
      );
    }
  }

  close(): void {
    this.session.close();
    this.#reference?.close();
  }
}

/** How far, relative above 1 nat, log-probabilities of two passes may lie apart under `precision: "fast"` (f16 operands). */
const FAST_TOLERANCE = 0.05;

function referenceKind(config: TrainConfig, recipe: Recipe, reads: ReadonlySet<string>) {
  const needed = reads.has("logp_ref");
  if (config.reference === "adapter-off" && !config.lora) {
    throw new CohortError("bad-config", "reference is adapter-off, and there is no lora", 'use "copy"');
  }
  if (config.reference === "none" && needed) {
    throw new CohortError(
      "bad-config",
      `recipe ${recipe.id} needs a reference policy, and reference is none`,
      'leave reference out, or set the recipe\'s beta to 0 ("params": {"beta": 0})',
    );
  }
  if (config.reference !== "auto") return config.reference;
  return !needed ? "none" : config.lora ? "adapter-off" : "copy";
}

function concat(parts: readonly ArrayLike<number>[]): Float32Array {
  const out = new Float32Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function comparison(sampler: Float32Array, trainer: Float32Array): Record<string, number | null> {
  const difference = sampler.map((x, i) => Math.abs(x - trainer[i]));
  const ratio = Float64Array.from(sampler, (x, i) => (x === trainer[i] ? 1 : exp(trainer[i] - x)));
  return samplingMetrics(difference, ratio) as Record<string, number | null>;
}

/** Peak memory of the run in bytes, from the configuration alone. */
export function estimateMemory(trainer: Trainer): number {
  const { config, session, runtime } = trainer;
  const { trajectoriesPerMicroBatch } = describeConfig(config);
  const { model } = session;
  const longest = Math.max(
    ...trainer.task
      .prompts("train", Math.min(64, config.promptsPerStep), config.seed)
      .map((row) => promptIds(session.loaded.tokenizer, row).length),
  );
  const most = Math.min(model.maxTokens, longest + config.maxTokens);
  const size = (list: { size: number }[]) => list.reduce((sum, p) => sum + p.size, 0);
  return memoryEstimate({
    config: model.config,
    trainable: size(model.trainable),
    adapters: size(model.all) - size([...model.parameters.values()]),
    referenceCopy: trainer.copiesReference,
    microBatchTokens: trajectoriesPerMicroBatch * most,
    microBatchScored: trajectoriesPerMicroBatch * config.maxTokens,
    cacheRows: config.promptsPerStep * (longest + config.rolloutsPerPrompt * config.maxTokens),
    maxTokens: most,
    threads: runtime.threads,
  });
}

const SAMPLES_KEPT = 4;
const ON_POLICY =
  "the loss of the first step is 0 by construction: on-policy every ratio is 1 and the advantages of a group sum to 0. " +
  "Its gradient is not 0: that is what learns. Watch the reward, not the loss";

/** A whole run, as the configuration says; see `TrainHooks` for what it tells on its way. */
export async function train(
  config: TrainConfig,
  task: TaskSource,
  runtime: Runtime,
  hooks: TrainHooks = {},
): Promise<TrainResult> {
  const began = runtime.clock();
  const trainer = await Trainer.create(config, task, runtime);
  try {
    const run = await openRun(runtime.storage, config);
    return await loop(trainer, run, runtime, hooks, began);
  } finally {
    trainer.close();
  }
}

async function loop(
  trainer: Trainer,
  run: Run,
  runtime: Runtime,
  hooks: TrainHooks,
  began: number,
): Promise<TrainResult> {
  const { config, session, task } = trainer;
  const { storage } = runtime;
  const evaluations: { before: EvalResult | null; after: EvalResult | null } = { before: null, after: null };
  const checkpoint = () =>
    run.checkpoint(trainer.step, async (dir) => {
      await session.saveState(storage, dir, {
        step: trainer.step,
        warmSteps: trainer.warmSteps,
        cursor: trainer.cursor,
        tokens: trainer.tokens,
        recipe: config.recipe,
        recipeState: trainer.state ?? null,
      });
    });
  const evaluateAt = async (when: "before" | "after" | number) => {
    if (config.evalPrompts === 0) return null;
    const result = await evaluate(session, task, config);
    await run.appendEvaluation({
      ...result,
      step: trainer.step,
      when: typeof when === "number" ? "during" : when,
    });
    hooks.onEval?.(when, result);
    return result;
  };
  const start = () =>
    hooks.onStart?.({
      run: run.dir,
      config: run.config,
      derived: describeConfig(config),
      device: runtime.device.name,
      parameters: session.model.all.reduce((n, p) => n + p.size, 0),
      trainable: session.model.trainable.reduce((n, p) => n + p.size, 0),
      memory: estimateMemory(trainer),
      ...(run.resumed && { resumedAt: run.resumed.step }),
    });

  if (run.resumed) {
    const state = await session.loadState(storage, run.resumed.dir);
    trainer.step = state.step as number;
    trainer.warmSteps = state.warmSteps as number;
    trainer.cursor = state.cursor as number;
    trainer.tokens = state.tokens as number;
    trainer.state = (state.recipeState as State | null) ?? undefined;
    const line = (await run.evaluations()).find((e) => e.when === "before");
    if (line) {
      const { step: _step, when: _when, ...result } = line;
      evaluations.before = result as EvalResult;
    }
  }
  start();
  await trainer.warmStart(hooks);
  if (!hooks.signal?.aborted) {
    await trainer.settleReference(`${run.dir}/reference`);
    if (trainer.step === 0 && !evaluations.before) evaluations.before = await evaluateAt("before");
  }

  let saved = run.resumed && trainer.step > 0 ? trainer.step : -1;
  let interrupted = hooks.signal?.aborted ?? false;
  try {
    while (trainer.step < config.steps && !interrupted) {
      const { metrics, samples } = await trainer.trainStep();
      if (trainer.step === 1 && metrics.loss !== null && Math.abs(metrics.loss) < 1e-6) hooks.onNote?.(ON_POLICY);
      await run.appendMetrics(metrics);
      await run.appendSamples(
        samples.slice(0, SAMPLES_KEPT).map(({ sample, reward }) => ({
          step: trainer.step,
          when: "train",
          prompt: promptText(sample.row),
          completion: sample.completion,
          reward,
        })),
      );
      hooks.onStep?.(metrics);
      interrupted = hooks.signal?.aborted ?? false;
      const last = trainer.step === config.steps;
      if (!last && config.evalEvery > 0 && trainer.step % config.evalEvery === 0) await evaluateAt(trainer.step);
      if (!last && config.checkpointEvery > 0 && trainer.step % config.checkpointEvery === 0) {
        await checkpoint();
        saved = trainer.step;
      }
    }
  } catch (error) {
    // What was computed is kept: the state before the failing step, unless it is on disk already.
    if (trainer.step > 0 && saved !== trainer.step && !(error instanceof CohortError && error.code === "device")) {
      await checkpoint().then(
        ({ dir }) => hooks.onNote?.(`the state after step ${trainer.step} is kept in ${dir}`),
        (cause) => hooks.onNote?.(`no checkpoint could be written either: ${(cause as Error).message}`),
      );
    }
    throw error;
  }
  if (saved !== trainer.step) await checkpoint();
  if (!interrupted) evaluations.after = await evaluateAt("after");
  const lines = await run.metrics();
  return {
    digest: await session.digest(),
    steps: trainer.step,
    seconds: (runtime.clock() - began) / 1000,
    reward: { first: lines[0]?.reward ?? 0, last: lines.at(-1)?.reward ?? 0 },
    eval: evaluations,
    run: run.dir,
    interrupted,
  };
}
