/**
 * @file Tiny transformers for demonstrations: the trainer of `cohort train`, step by step, on a task and a recipe.
 */
import { type BuiltInTask, parseConfig } from "../../config.ts";
import { CohortError } from "../../errors.ts";
import type { EvalResult } from "../../evaluate.ts";
import type { StepMetrics } from "../../log.ts";
import type { Sequence } from "../../model/pack.ts";
import type { Row } from "../../rewards/index.ts";
import { streams } from "../../rng.ts";
import type { Session } from "../../session.ts";
import { memoryStorage } from "../../storage.ts";
import { loadTask, type TaskSource } from "../../tasks/index.ts";
import { judged } from "../../train/trajectories.ts";
import { evaluate, promptIds, Trainer } from "../../train.ts";
import type { Lab } from "./demo.ts";

/** One layer, 32 wide: learns to sort three letters in seconds on one core. */
export const tinyModel = {
  config: { hiddenSize: 32, layers: 1, heads: 2, kvHeads: 2, intermediateSize: 64 },
};

export interface Derivatives {
  step: number;
  /** of one optimiser step, by token of its trajectories */
  dlogp: Float64Array;
  /** tokens of each trajectory */
  lengths: number[];
  /** of each trajectory */
  texts: { prompt: string; completion: string }[];
  /** Gradient by all weights of Σ dlogp·lp over these trajectories alone. */
  gradient(trajectories: readonly number[]): Promise<Float64Array>;
}

/** Supervised steps on a task's examples, before the first step of the recipe. */
export interface Lesson {
  task: TaskSource;
  steps: number;
  /** examples of a step */
  batch: number;
  learningRate: number;
}

export interface Trained {
  metrics: StepMetrics[];
  before: EvalResult | null;
  after: EvalResult | null;
  /** share of right completions of each row of `probe`, `evalSamples` of each */
  chances: { before: number[]; after: number[] };
  /** steps done before a number left the finite ones; all of them where none did */
  survived: number;
}

/**
 * Trains with the given keys of a configuration.
 *
 * @param options.task in place of the configuration's
 * @param options.lessons supervised phases after the configuration's warm start, on tasks of the same alphabet
 * @param options.probe rows whose chances are measured before and after
 * @param options.onDerivative sees what reaches the model, optimiser step by optimiser step
 * @param options.onStart is asked before the first step, after the warm start
 * @param options.onStep is asked after every step
 */
export async function trainTiny(
  lab: Lab,
  keys: Record<string, unknown>,
  options: {
    task?: TaskSource;
    lessons?: readonly Lesson[];
    probe?: readonly Row[];
    onDerivative?(given: Derivatives): void | Promise<void>;
    onStart?(trainer: Trainer): Promise<void>;
    onStep?(trainer: Trainer): Promise<void>;
  } = {},
): Promise<Trained> {
  const config = parseConfig({ model: tinyModel, checkpointEvery: 0, out: "demo", threads: 1, ...keys });
  const task = options.task ?? loadTask(config.task as BuiltInTask);
  // Of its own: a frozen reference is kept there, and another arm's is none of this one's.
  const runtime = { ...(await lab.runtime()), storage: memoryStorage() };
  const { lessons = [], probe = [] } = options;
  let examples = task;
  const prompts: TaskSource["prompts"] = (...draw) => examples.prompts(...draw);
  const trainer = await Trainer.create(config, { ...task, prompts }, runtime);
  const { session } = trainer;
  const done: Trained = { metrics: [], before: null, after: null, chances: { before: [], after: [] }, survived: 0 };
  try {
    await trainer.warmStart({});
    for (const { task: taught, ...plan } of lessons) {
      [examples, config.warmStart, trainer.warmSteps] = [taught, plan, 0];
      await trainer.warmStart({});
    }
    examples = task;
    done.chances.before = await chances(trainer, probe);
    await trainer.settleReference(`demo/${config.recipe}-${config.seed}/reference`);
    if (config.evalPrompts > 0) done.before = await evaluate(session, task, config);
    const { onDerivative } = options;
    if (onDerivative) {
      const pass = session.forwardBackward.bind(session);
      session.forwardBackward = async (sequences, objective, more) => {
        const dlogp = Float64Array.from(objective.dlogp);
        const lengths = sequences.map(({ ids, from }) => ids.length - from);
        const starts = lengths.map((_, i) => lengths.slice(0, i).reduce((a, b) => a + b, 0));
        const part = (i: number) => dlogp.subarray(starts[i], starts[i] + lengths[i]);
        await onDerivative({
          step: trainer.step + 1,
          dlogp,
          lengths,
          texts: sequences.map((s) => textsOf(session, s)),
          async gradient(of) {
            const own = of.map((i) => sequences[i]);
            await pass(own, { dlogp: of.flatMap((i) => [...part(i)]) }, more);
            const { device, optimizer } = session;
            const all: number[] = [];
            for (const p of optimizer.parameters) all.push(...(await device.readF32(p.grad!)));
            return Float64Array.from(all);
          },
        });
        return pass(sequences, objective, more);
      };
    }
    await options.onStart?.(trainer);
    while (trainer.step < config.steps) {
      done.metrics.push((await trainer.trainStep()).metrics);
      await options.onStep?.(trainer);
    }
    done.survived = trainer.step;
    if (config.evalPrompts > 0) done.after = await evaluate(session, task, config);
    done.chances.after = await chances(trainer, probe);
  } catch (error) {
    if (!(error instanceof CohortError && error.code === "not-finite")) throw error;
    done.survived = trainer.step;
  } finally {
    trainer.close();
  }
  return done;
}

const textsOf = ({ loaded: { tokenizer } }: Session, sequence: Sequence) => {
  const ids = Array.from(sequence.ids);
  const text = (from: number, to?: number) => tokenizer.decode(ids.slice(from, to), { skipSpecial: true });
  return { prompt: text(0, sequence.from), completion: text(sequence.from).trimEnd() };
};

/** Share of completions with reward `correct` 1 among `evalSamples` of each row; the same random numbers at every call. */
async function chances(trainer: Trainer, rows: readonly Row[]): Promise<number[]> {
  if (rows.length === 0) return [];
  const { config, session } = trainer;
  const prompts = rows.map((row, index) => ({ row, ids: promptIds(session.loaded.tokenizer, row), index }));
  const completions = await session.sample(
    prompts.map((p) => p.ids),
    config.evalSamples,
    config,
    { seed: config.seed, stream: streams.evaluate, step: 0 },
  );
  const { trajectories } = await judged(trainer, prompts, completions, "policy");
  const right = rows.map(() => 0);
  for (const t of trajectories) right[t.prompt] += Number(t.rewards.correct === 1) / config.evalSamples;
  return right;
}

/** Sorting three letters after a short warm start: about 100 trajectories a step, a step in about 20 ms on one core. */
export const sorting = {
  task: { name: "sort", length: 3 },
  warmStart: { steps: 200, batch: 32, learningRate: 0.003 },
  promptsPerStep: 16,
  rolloutsPerPrompt: 8,
  maxTokens: 4,
  learningRate: 1e-3,
  evalPrompts: 64,
  evalSamples: 8,
};

/**
 * Trained tokens whose gradient is exactly 0, as a share of those of groups that have any.
 * @param size trajectories of a group
 */
export function silentShare(given: Derivatives, size: number): { silent: number; live: number } {
  let [at, silent, live] = [0, 0, 0];
  for (let g = 0; g * size < given.lengths.length; g++) {
    const tokens = given.lengths.slice(g * size, (g + 1) * size).reduce((a, b) => a + b, 0);
    const part = given.dlogp.subarray(at, at + tokens);
    at += tokens;
    if (part.every((d) => d === 0)) continue;
    live += tokens;
    for (const d of part) if (d === 0) silent++;
  }
  return { silent, live };
}

/** Steps until the reward, averaged over 5, falls below half of its highest so far; all steps where it never does. */
export function healthySteps({ metrics, survived }: Trained): number {
  let most = 0;
  for (let k = 4; k < metrics.length; k++) {
    const now = average(metrics.slice(0, k + 1), "reward", 5);
    if (now < most / 2) return k;
    most = Math.max(most, now);
  }
  return survived;
}

/** Mean of a metric over the last `count` steps (all where left out); NaN where no step has it. */
export function average(
  metrics: readonly StepMetrics[],
  key: keyof StepMetrics | "ppo_kl",
  count = metrics.length,
): number {
  const values = metrics.slice(-count).flatMap((m) => {
    const value = (m as unknown as Record<string, unknown>)[key];
    return typeof value === "number" ? [value] : [];
  });
  return values.length === 0 ? Number.NaN : values.reduce((a, b) => a + b, 0) / values.length;
}
