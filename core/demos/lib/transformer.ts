/**
 * @file Tiny transformers for demonstrations: the trainer of `cohort train`, step by step, on a task and a recipe.
 */
import { type BuiltInTask, parseConfig } from "../../config.ts";
import { CohortError } from "../../errors.ts";
import type { EvalResult } from "../../evaluate.ts";
import type { StepMetrics } from "../../log.ts";
import { loadTask, type TaskSource } from "../../tasks/index.ts";
import { evaluate, Trainer } from "../../train.ts";
import type { Lab } from "./demo.ts";

/** One layer, 32 wide: learns to sort three letters in seconds on one core. */
export const tinyModel = {
  config: { hiddenSize: 32, layers: 1, heads: 2, kvHeads: 2, intermediateSize: 64 },
};

export interface Derivatives {
  step: number;
  /** of each optimiser step of `step`, by token of its trajectories */
  dlogp: Float64Array;
}

export interface Trained {
  metrics: StepMetrics[];
  before: EvalResult | null;
  after: EvalResult | null;
  /** steps done before a number left the finite ones; all of them where none did */
  survived: number;
}

/**
 * Trains with the given keys of a configuration.
 *
 * @param task in place of the configuration's
 * @param onDerivative sees what reaches the model, optimiser step by optimiser step
 */
export async function trainTiny(
  lab: Lab,
  keys: Record<string, unknown>,
  options: { task?: TaskSource; onDerivative?(given: Derivatives): void } = {},
): Promise<Trained> {
  const config = parseConfig({ model: tinyModel, checkpointEvery: 0, out: "demo", threads: 1, ...keys });
  const task = options.task ?? loadTask(config.task as BuiltInTask);
  const trainer = await Trainer.create(config, task, await lab.runtime());
  const { session } = trainer;
  const done: Trained = { metrics: [], before: null, after: null, survived: 0 };
  try {
    await trainer.warmStart({});
    await trainer.settleReference(`demo/${config.recipe}-${config.seed}/reference`);
    if (config.evalPrompts > 0) done.before = await evaluate(session, task, config);
    const { onDerivative } = options;
    if (onDerivative) {
      const pass = session.forwardBackward.bind(session);
      session.forwardBackward = (sequences, objective, more) => {
        onDerivative({ step: trainer.step + 1, dlogp: Float64Array.from(objective.dlogp) });
        return pass(sequences, objective, more);
      };
    }
    while (trainer.step < config.steps) done.metrics.push((await trainer.trainStep()).metrics);
    done.survived = trainer.step;
    if (config.evalPrompts > 0) done.after = await evaluate(session, task, config);
  } catch (error) {
    if (!(error instanceof CohortError && error.code === "not-finite")) throw error;
    done.survived = trainer.step;
  } finally {
    trainer.close();
  }
  return done;
}

/** Mean of a metric over the last `count` steps (all where left out); NaN where no step has it. */
export function average(metrics: readonly StepMetrics[], key: keyof StepMetrics, count = metrics.length): number {
  const values = metrics.slice(-count).flatMap((m) => (typeof m[key] === "number" ? [m[key] as number] : []));
  return values.length === 0 ? Number.NaN : values.reduce((a, b) => a + b, 0) / values.length;
}
