/** @file Learning from rollouts: prompts, completions, rewards, advantages, optimiser steps. */
import type { TrainHooks } from "../api.ts";
import { Batch } from "../batch.ts";
import { recipeOf } from "../composition.ts";
import { describeConfig, type TrainConfig } from "../config.ts";
import { CohortError } from "../errors.ts";
import { type EvalResult, type EvalSample, type PromptOutcome, summarize } from "../evaluate.ts";
import type { Storage } from "../host.ts";
import { lengthMetrics, rewardMetrics, type StepMetrics, samplingMetrics, stepMetrics } from "../log.ts";
import { addLora, type LoadedModel } from "../model/load.ts";
import { memoryEstimate } from "../model/memory.ts";
import type { Sequence } from "../model/pack.ts";
import type { Transformer } from "../model/transformer.ts";
import {
  loadRecipe,
  needs,
  type Objective,
  objective,
  type Params,
  plan,
  prepare,
  type Recipe,
  readsReferenceRows,
  resolveParams,
} from "../recipe.ts";
import { dryRun, type RewardResult, runRewards } from "../rewards/index.ts";
import { exp } from "../rl/scalar.ts";
import { Stream, streams } from "../rng.ts";
import type { SampleLine } from "../run.ts";
import { Session } from "../session.ts";
import type { TaskSource } from "../tasks/index.ts";
import { GroupBuffer } from "./buffer.ts";
import { Critic } from "./critic.ts";
import { Learner, type LearnerParts } from "./learner.ts";
import { openModel, promptIds, promptText, type Runtime } from "./model.ts";
import { numbers, PromptPool } from "./pool.ts";
import { referenceKind } from "./reference.ts";
import { askFields, checkSupplies, probeFields, suppliesOf, supplyFields, supplyRows } from "./supply.ts";
import {
  asSamples,
  judged,
  type Means,
  type Step,
  type StepPrompt,
  sequenceOf,
  type Trajectory,
} from "./trajectories.ts";

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
const SUPPLIED = /* @__PURE__ */ new Set([
  "group",
  "length",
  "reward",
  "rewards",
  "mask",
  "logp",
  "logp_old",
  "logp_rollout",
  "entropy",
  "row",
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
      ...(recipe.rows && { row: new Float64Array(tokens).fill(0.5) }),
      tokens: new Float64Array(tokens),
      truncated: [0, 0, 0, 1],
      correct: [1, 0, 0, 1],
    },
    shapes: { truncated: "trajectory", correct: "trajectory" },
    rewards: { reward: [1, 0, 0, 1] },
  }).withCase(probeFields(recipe), recipe.fields);
  const reads = new Set(needs(recipe, params, probe));
  const rows = readsReferenceRows(recipe, params);
  if (rows || suppliesOf(recipe).some(({ supply }) => supply.reference)) reads.add("logp_ref");
  return reads;
}

/** Batch fields that the recipe reads and rollouts do not have: why it cannot train from them. */
export function readsBeyondRollouts(recipe: Recipe, params: Params = resolveParams(recipe)): string[] {
  const supplied = recipe.trains?.supply ?? {};
  return [...fieldsRead(recipe, params)].filter(
    (name) => !SUPPLIED.has(name) && name !== "logp_ref" && !name.startsWith("rewards.") && !(name in supplied),
  );
}

/** Logits or hidden states of a step on the host: half a gigabyte a field. */
const MOST_NUMBERS = 2 ** 26;

/** Rollouts of a step kept in samples.jsonl. */
const SAMPLES_KEPT = 4;

/** Learns from rollouts. */
export class Trainer extends Learner {
  readonly task: TaskSource;
  /** The prompts that the run comes back to; null: ever new ones. */
  readonly pool: PromptPool | null;
  readonly #keeps: ReadonlySet<string | undefined>;
  /** Fields that follow the critic; null: there is none. */
  readonly #critical: readonly string[] | null;
  #critic: Critic | null = null;
  /** Fields of logits [T, V]. */
  readonly #logits: readonly string[];
  readonly buffer = new GroupBuffer();
  #drawn: Trajectory[] = [];

  private constructor(given: LearnerParts & { task: TaskSource }) {
    super(given);
    const { recipe, task, config, session } = given;
    this.task = task;
    const supplies = suppliesOf(recipe).map(({ supply }) => supply);
    const steers = recipe.trains?.draws !== undefined && recipe.trains.draws !== "rounds";
    const pooled = steers || config.promptPool > 0 || supplies.some((supply) => supply.pool);
    const { tokenizer } = session.loaded;
    this.pool = pooled ? PromptPool.of(task, config, (row) => promptIds(tokenizer, row)) : null;
    this.#logits = suppliesOf(recipe).flatMap(({ field, supply }) => (supply.logits ? [field] : []));
    this.#keeps = new Set(supplies.map((supply) => supply.keeps));
    const now = suppliesOf(recipe).flatMap(({ field, supply }) => (supply.now ? [field] : []));
    this.#critical = supplies.some((supply) => supply.critic) ? (now.length > 0 ? now : ["value"]) : null;
  }

  /**
   * Loads the model and checks everything that can be checked before work starts: recipe, parameters, the fields it
   * needs, prompts against the context, rewards on two samples.
   */
  static async create(config: TrainConfig, task: TaskSource, runtime: Runtime): Promise<Trainer> {
    const recipe = await recipeOf(config);
    const params = resolveParams(recipe, config.params, config);
    if (recipe.trains?.refuse) {
      const { data, keys } = recipe.trains;
      const others = keys ? `set ${keys.join(", ")} of the run` : "choose another recipe";
      const remedy = data ? 'give it a data set: "task": {"data": FILE.jsonl}' : others;
      throw new CohortError("bad-config", `recipe ${recipe.id}: ${recipe.trains.refuse}`, remedy);
    }
    const reads = fieldsRead(recipe, params);
    const missing = readsBeyondRollouts(recipe, params);
    if (missing.length > 0) {
      throw new CohortError(
        "bad-config",
        `recipe ${recipe.id} reads ${missing.join(", ")}, which rollouts do not have`,
        "choose another recipe, or replay it on batches that carry them",
      );
    }
    checkSupplies(recipe, params, task, config);
    const reference = referenceKind(config, recipe, reads);
    if (config.miniBatches > config.promptsPerStep) {
      throw new CohortError(
        "bad-config",
        `miniBatches is ${config.miniBatches} and promptsPerStep ${config.promptsPerStep}`,
        "a group stays whole: take at most as many miniBatches as prompts",
      );
    }
    if (noiseOf(recipe, params) && config.sharePrompts) {
      throw new CohortError(
        "bad-config",
        `recipe ${recipe.id} gives each trajectory noise of its own, its prompt's too, and sharePrompts is true`,
        "set sharePrompts to false",
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
    const session = new Session(runtime.device, runtime.numeric, loaded, config.optimizer, noiseOf(recipe, params));
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
    const most = Math.min(1024, config.promptsPerStep * Math.max(1, config.steps));
    const rows = this.pool?.prompts.map((p) => p.row) ?? task.prompts("train", most, config.seed);
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
    const { trajectoriesPerStep } = describeConfig(config);
    for (const { field, supply } of suppliesOf(this.recipe)) {
      const count = trajectoriesPerStep * config.maxTokens * (supply.numbers?.(model.config) ?? 0);
      if (count <= MOST_NUMBERS) continue;
      throw new CohortError(
        "bad-config",
        `recipe ${this.recipe.id} reads ${field}, and a step may have ${count} numbers of it, at most ${MOST_NUMBERS} are kept`,
        "lower promptsPerStep, rolloutsPerPrompt or maxTokens, or take a recipe that reads log-probabilities alone",
      );
    }
    const two = rows.slice(0, 2);
    const samples = two.map((row) => ({ prompt: row.prompt, completion: "", completionIds: [], row }));
    await dryRun(task.rewards, samples);
  }

  /** Supervised steps on the task's own examples, from where they stopped; then the optimiser starts afresh. */
  override async warmStart(hooks: TrainHooks): Promise<void> {
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
    return this.policyReference.copy;
  }

  /** Pieces of a pass over a whole rollout batch: as large as the micro-batches of an optimiser step. */
  get #pieces(): number {
    return this.config.microBatches * this.config.miniBatches;
  }

  get #means(): Means {
    const { config, task, session, params, recipe, policyReference: reference, pool, step } = this;
    const state = this.state ?? recipe.state?.init(params) ?? {};
    const { critic, buffer } = this;
    const microBatches = this.#pieces;
    const look = (of: Step) => plan(recipe, params, batchOf(of.trajectories, undefined), this.state);
    const learningRate = session.optimizer.nextRate(this.optimizerSteps);
    const own = { config, task, session, params, state, reference, pool, critic, buffer, learningRate };
    return { ...own, step, microBatches, drawn: this.#drawn, look };
  }

  /** A copy of the policy as it is when first asked for: after the warm start. */
  get critic(): Critic | null {
    if (this.#critical) this.#critic ??= new Critic(this.session, this.runtime, this.config);
    return this.#critic;
  }

  override save(): Record<string, unknown> {
    return {
      ...(this.pool && { pool: this.pool.save() }),
      ...(this.buffer.size > 0 && { buffer: this.buffer.save() }),
    };
  }

  override async saveFiles(storage: Storage, dir: string): Promise<void> {
    await this.#critic?.session.saveState(storage, `${dir}/critic`, {});
  }

  override async restore(state: Record<string, unknown>, storage: Storage, dir: string): Promise<void> {
    if (state.pool) this.pool?.restore(state.pool);
    if (state.buffer) this.buffer.restore(state.buffer);
    if (await storage.exists(`${dir}/critic`)) await this.critic?.session.loadState(storage, `${dir}/critic`);
  }

  override close(): void {
    super.close();
    this.#critic?.close();
  }

  /** The prompts of a step, how many rollouts each gets, and what else the sampler decided. */
  #draw(): { prompts: StepPrompt[]; counts: number[]; planned: Record<string, unknown> } {
    const { config, task, pool, recipe } = this;
    const even = config.rolloutsPerPrompt;
    if (!pool) {
      const { tokenizer } = this.session.loaded;
      const rows = task.prompts("train", config.promptsPerStep, config.seed, this.cursor);
      const prompts = rows.map((row, index) => ({ row, ids: promptIds(tokenizer, row), index }));
      return { prompts, counts: prompts.map(() => even), planned: recipe.trains?.supply ? this.#ask([]) : {} };
    }
    const over = recipe.trains?.draws === "rounds" ? undefined : recipe.trains?.draws;
    const all = pool.prompts.map((_, q) => q);
    const chosen =
      over && over !== "rollouts"
        ? pool.choose(this.#ask(all), config.promptsPerStep, this.step, over)
        : pool.next(config.promptsPerStep);
    const planned = this.#ask(chosen);
    const asked = over ? (numbers(planned.rollouts) ?? numbers(planned.prompt_rollouts)) : undefined;
    // A prompt that nothing is known of is tried: a sampler that gives it nothing would never learn of it.
    const counts = chosen.map((q, k) => {
      const n = asked?.[k] ?? even;
      return n > 0 || pool.history[q].seen > 0 ? Math.max(0, Math.round(n)) : even;
    });
    const live = counts.some((n) => n > 0) ? counts : counts.map(() => even);
    const visited = chosen.flatMap((q, k) => (live[k] > 0 ? [{ prompt: pool.prompts[q], rollouts: live[k] }] : []));
    return { prompts: visited.map((v) => v.prompt), counts: visited.map((v) => v.rollouts), planned };
  }

  /** Rollouts of the prompts, with their rewards; of samplers that go by rounds, round after round. */
  async #rollOut(
    prompts: readonly StepPrompt[],
    counts: readonly number[],
  ): Promise<{ rollouts: Trajectory[]; result: RewardResult; kept: Trajectory[] }> {
    const { config, session, recipe } = this;
    const random = { seed: config.seed, stream: streams.sample, step: this.step };
    const ids = prompts.map((p) => p.ids);
    if (recipe.trains?.draws !== "rounds") {
      const completions = await session.sample(ids, counts, config, random);
      const { trajectories, result } = await judged(this, prompts, completions, "policy");
      return { rollouts: trajectories, result, kept: trajectories };
    }
    const places = prompts.map((_, p) => p);
    this.#drawn = [];
    for (let round = 0; ; round++) {
      const outputs = this.#ask(places);
      const wanted = numbers(outputs.rollouts) ?? [];
      const more = places.map((p) => Math.max(0, wanted[p] - this.#drawn.filter((t) => t.prompt === p).length));
      if (!more.some((n) => n > 0)) {
        const selected = outputs.selected as number[][];
        const kept = places.flatMap((p) => {
          const own = this.#drawn.filter((t) => t.prompt === p);
          return selected[p].map((k) => own[k]);
        });
        return { rollouts: this.#drawn, result: resultOf(this.#drawn), kept };
      }
      const live = places.filter((p) => more[p] > 0);
      const key = { ...random, stream: streams.round + round };
      const drawn = await session.sample(
        live.map((p) => ids[p]),
        live.map((p) => more[p]),
        config,
        key,
      );
      const placed = drawn.map((c) => ({ ...c, prompt: live[c.prompt] }));
      this.#drawn = [...this.#drawn, ...(await judged(this, prompts, placed, "policy")).trajectories];
    }
  }

  /** The sampler's outputs about prompts of the pool, before there are rollouts. */
  #ask(prompts: readonly number[]): Record<string, unknown> {
    const { recipe, params } = this;
    const zeros = prompts.map(() => 0);
    const shapes = { reward: "trajectory" } as const;
    const bare = Batch.from({ lengths: zeros, group: prompts.map((_, k) => k), fields: { reward: zeros }, shapes });
    return plan(recipe, params, bare.withCase(askFields(recipe, prompts, this.#means), recipe.fields), this.state);
  }

  /** One step: rollouts, rewards, advantages, optimiser steps. */
  async trainStep(): Promise<{ metrics: StepMetrics; lines: SampleLine[] }> {
    const { config, session, recipe, params, runtime, pool } = this;
    const began = runtime.clock();
    this.#drawn = [];
    const means = this.#means;
    if (this.step === 0) for (const { supply } of suppliesOf(recipe)) await supply.start?.(means);
    const { prompts, counts, planned } = this.#draw();
    const { rollouts, result, kept } = await this.#rollOut(prompts, counts);
    const lengths = rollouts.map((t) => t.ids.length);
    const tokens = lengths.reduce((a, b) => a + b, 0) + rollouts.reduce((n, t) => n + t.context.length, 0);
    const metrics: Partial<StepMetrics> = {
      ...rewardMetrics(
        result.total,
        result.rewards,
        rollouts.map((t) => t.prompt),
        result.scored,
      ),
      ...lengthMetrics(
        lengths,
        rollouts.map((t) => t.finish === "stop"),
      ),
    };
    const step: Step = { prompts, trajectories: kept.filter((t) => t.scored), drawn: rollouts, planned };
    if (step.trajectories.length > 0) {
      await supplyRows(recipe, step, means);
      const passes = { microBatches: this.#pieces, temperature: config.temperature };
      await this.#rescore(step, passes);
      const sequences = step.trajectories.map(sequenceOf);
      const logpRef = await this.policyReference.logp(sequences, passes);
      const supplied = await supplyFields(recipe, step, means);
      const bare = batchOf(step.trajectories, logpRef).withCase(supplied, recipe.fields);
      const batch = await this.#withLogits(bare, sequences, passes);
      const prepared = prepare(recipe, params, batch, this.state);
      this.state = prepared.state;
      // Health of the rollouts as the recipe sees them; what is reported of the raw rewards above stays.
      for (const [name, value] of Object.entries(prepared.metrics))
        if (!(name in metrics)) metrics[name as "reward"] = value;
      const gradNorm = this.#keeps.has("gradients")
        ? await session.gradientNorms(rollouts.map(sequenceOf), config)
        : undefined;
      Object.assign(metrics, await this.#optimise(prepared.batch, step.trajectories, sequences));
      pool?.observe(prompts, rollouts, { responses: this.#keeps.has("responses") || !!gradNorm, gradNorm });
    }
    this.step++;
    this.cursor += prompts.length;
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
      lines: rollouts.slice(0, SAMPLES_KEPT).map(({ sample, scored, total }) => ({
        step: this.step,
        when: "train",
        prompt: promptText(sample.row),
        completion: sample.completion,
        reward: scored ? total : null,
      })),
    };
  }

  /** With the logits of all tokens, where the recipe compares rows of several: others have the slot `rows`. */
  async #withLogits(
    batch: Batch,
    sequences: readonly Sequence[],
    options: { microBatches: number; temperature: number },
  ): Promise<Batch> {
    if (this.#logits.length === 0) return batch;
    const logits = await this.session.logits(sequences, options);
    return batch.withRows(
      Object.fromEntries(this.#logits.map((field) => [field, logits])),
      this.session.model.config.vocabSize,
    );
  }

  /** What the policy says of trajectories that it did not draw, or drew after a hint. */
  async #rescore(step: Step, options: { microBatches: number; temperature: number }): Promise<void> {
    const others = step.trajectories.filter((t) => t.by !== "policy");
    if (others.length === 0) return;
    const { logp, entropy, offsets } = await this.session.score(others.map(sequenceOf), options);
    others.forEach((t, k) => {
      t.logp = logp.slice(offsets[k], offsets[k + 1]);
      t.entropy = entropy.slice(offsets[k], offsets[k + 1]);
    });
  }

  /** The optimiser steps on one rollout batch: epochs × mini-batches, groups kept whole. */
  async #optimise(
    batch: Batch,
    trajectories: readonly Trajectory[],
    sequences: readonly Sequence[],
  ): Promise<Record<string, number | null>> {
    const { config, session } = this;
    const sums = new Map<string, { sum: number; n: number }>();
    const add = (name: string, value: number) => {
      const entry = sums.get(name) ?? { sum: 0, n: 0 };
      sums.set(name, { sum: entry.sum + value, n: entry.n + 1 });
    };
    let learningRate = 0;
    let onPolicy: Record<string, number | null> = {};
    let first = true;
    for (let epoch = 0; epoch < config.epochsPerBatch; epoch++) {
      for (const part of this.#miniBatches(trajectories, epoch)) {
        const sub = config.miniBatches === 1 ? batch : batch.select(part);
        const own = config.miniBatches === 1 ? sequences : part.map((k) => sequences[k]);
        const { microBatches, temperature, sharePrompts } = config;
        const value = await this.critic?.values(own, { microBatches });
        const current = Object.fromEntries((value && this.#critical!.map((name) => [name, value])) ?? []);
        for (const field of this.#logits) current[field] = await session.logits(own, { microBatches, temperature });
        const noise = session.model.noise
          ? { seed: config.seed, step: session.optimizer.steps, trajectories: part }
          : undefined;
        const options = { microBatches, temperature, sharePrompts, noise, current };
        // Before the first optimiser step the policy is the sampler, whose log-probabilities are the trainer's bit for bit;
        // with noise in its pass it is not.
        const same = first && !noise;
        const drawn = part.map((k) => trajectories[k]);
        const sampled = { logp: concat(drawn.map((c) => c.logp)), entropy: concat(drawn.map((c) => c.entropy)) };
        const scored = same && !this.recipe.rows ? sampled : await this.policy(own, options);
        const now = same ? { ...scored, ...sampled } : scored;
        const whose = same ? "the sampler's" : "the scoring pass's";
        const {
          result,
          trained,
          gradNorm,
          learningRate: rate,
        } = await this.optimizerStep(sub, own, now, whose, options);
        if (value) await this.#learnValues(sub, own, value, result);
        if (first) onPolicy = comparison(sampled.logp, trained.logp);
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

  /** The critic's step: by the derivative that the recipe's loss has by its values, else by PPO's value loss. */
  async #learnValues(batch: Batch, sequences: readonly Sequence[], value: Float32Array, by: Objective): Promise<void> {
    const { data } = this.#critical!.map((name) => by.gradients[name]).find(Boolean) ?? (await valueLoss(batch, value));
    const values = await this.critic!.learn(sequences, data, this.optimizerSteps, this.config);
    this.assertSame(value, values, "the critic's scoring pass's");
  }

  /** Indices into the batch for each optimiser step of an epoch; prompts in a random order where there are several. */
  #miniBatches(trajectories: readonly Trajectory[], epoch: number): number[][] {
    const all = trajectories.map((_, k) => k);
    const { miniBatches } = this.config;
    if (miniBatches === 1) return [all];
    const byPrompt = new Map<number, number[]>();
    for (const k of all) {
      const { prompt } = trajectories[k];
      byPrompt.set(prompt, [...(byPrompt.get(prompt) ?? []), k]);
    }
    const groups = [...byPrompt.values()];
    const order = new Stream(this.config.seed, streams.shuffle, this.step, epoch).shuffle(groups.map((_, g) => g));
    const size = Math.ceil(groups.length / miniBatches);
    return Array.from({ length: Math.ceil(groups.length / size) }, (_, m) =>
      order.slice(m * size, (m + 1) * size).flatMap((g) => groups[g]),
    );
  }

  evaluate(): Promise<EvalResult> {
    return evaluate(this.session, this.task, this.config);
  }

  memory(): number {
    return estimateMemory(this);
  }
}

/** The noise of training passes that the recipe asks for. */
function noiseOf({ trains }: Recipe, params: Params): { start: number; learningRate: number } | undefined {
  if (!trains?.noise) return undefined;
  const [start, learningRate] = [trains.noise.scale, trains.noise.learningRate].map((name) => params[name] as number);
  return start > 0 ? { start, learningRate } : undefined;
}

/** Rewards of trajectories that were judged in several calls. */
function resultOf(trajectories: readonly Trajectory[]): RewardResult {
  const names = Object.keys(trajectories[0]?.rewards ?? {});
  return {
    rewards: Object.fromEntries(names.map((name) => [name, Float64Array.from(trajectories, (t) => t.rewards[name])])),
    total: Float64Array.from(trajectories, (t) => t.total),
    scored: trajectories.map((t) => t.scored),
  };
}

/** The trajectories as a batch: what every recipe may read. */
function batchOf(trajectories: readonly Trajectory[], logpRef: Float32Array | undefined): Batch {
  const lengths = trajectories.map((t) => t.ids.length);
  const n = lengths.reduce((a, b) => a + b, 0);
  const fields: Record<string, ArrayLike<number>> = {
    reward: trajectories.map((t) => t.total),
    truncated: trajectories.map((t) => (t.finish === "length" ? 1 : 0)),
    correct: trajectories.map((t) => (t.right ? 1 : 0)),
    mask: new Float64Array(n).fill(1),
    logp_old: concat(trajectories.map((t) => t.logpOld ?? t.logp)),
    logp_rollout: concat(trajectories.map((t) => t.logpOld ?? t.logp)),
    entropy: concat(trajectories.map((t) => t.entropy)),
    tokens: concat(trajectories.map((t) => t.ids)),
  };
  if (logpRef) fields.logp_ref = logpRef;
  const renamed = new Map<number, number>();
  const group = trajectories.map(({ prompt }) => {
    if (!renamed.has(prompt)) renamed.set(prompt, renamed.size);
    return renamed.get(prompt)!;
  });
  const shapes: Record<string, "token" | "trajectory"> = {};
  for (const name of ["reward", "truncated", "correct"]) shapes[name] = "trajectory";
  for (const name of ["mask", "logp_old", "logp_rollout", "entropy", "tokens", "logp_ref"]) shapes[name] = "token";
  const names = Object.keys(trajectories[0]?.rewards ?? {});
  const orNull = (x: number) => (Number.isNaN(x) ? null : x);
  const rewards = Object.fromEntries(names.map((name) => [name, trajectories.map((t) => orNull(t.rewards[name]))]));
  return Batch.from({ lengths, group, fields, rewards, shapes });
}

/** ∂/∂value of PPO's value loss; its target is what the advantage left as `return`, else the rollout's reward. */
async function valueLoss(batch: Batch, value: Float32Array): Promise<{ data: Float64Array }> {
  const recipe = await loadRecipe("ppo-value-loss");
  const old = batch.fields.get("value")!;
  const outcome = () => {
    const of = batch.token.edge(batch.trajectory).index;
    return { level: batch.token, data: Float64Array.from(of, (i) => batch.fields.get("reward")!.data[i]) };
  };
  const whole = batch.with({ value_old: old, return: batch.fields.get("return") ?? outcome() });
  return objective(recipe, resolveParams(recipe), whole, { value }, { metrics: false }).gradients.value;
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
    referenceCopy: ["copy", "model"].includes(trainer.policyReference.kind),
    microBatchTokens: trajectoriesPerMicroBatch * most,
    microBatchScored: trajectoriesPerMicroBatch * config.maxTokens,
    cacheRows: config.promptsPerStep * (longest + config.rolloutsPerPrompt * config.maxTokens),
    maxTokens: most,
    threads: runtime.threads,
    noise: session.model.noise !== null,
  });
}
