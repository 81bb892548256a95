/**
 * @file Where the curves of a run may go beside its own metrics.jsonl: TensorBoard, Weights & Biases, a callback of the app.
 * A logger is told in order and awaited at the end; one that fails is named in a note and told nothing more, the run goes on.
 */
import type { RunInfo, TrainHooks, TrainResult } from "../../core/api.ts";
import type { EvalResult } from "../../core/evaluate.ts";
import type { StepMetrics } from "../../core/log.ts";

/** Named numbers of one step: what was not measured is absent, never NaN. */
export type MetricRecord = Readonly<Record<string, number>>;

export interface Logger {
  /** `info.resumedAt` steps were logged before, where the run continues: later ones of an older attempt are void */
  onStart?(info: RunInfo): void | Promise<void>;
  /**
   * Once a step, and once an evaluation (`eval/pass@1`, …) at the number of steps done.
   * @param step steps done, never falling
   */
  onMetrics(step: number, record: MetricRecord): void | Promise<void>;
  /** null where the run failed */
  onEnd?(result: TrainResult | null): void | Promise<void>;
}

/** The numbers of a line of metrics.jsonl. */
export function numbersOf(metrics: StepMetrics): MetricRecord {
  const { step: _, ...rest } = metrics;
  return numeric(rest);
}

/** The numbers of an evaluation, those of a data set among them, `eval/` before their names. */
export function evaluationNumbers(result: EvalResult): MetricRecord {
  return numeric({ ...result, ...result.metrics }, "eval/");
}

function numeric(given: object, prefix = ""): MetricRecord {
  const numbers = Object.entries(given).filter(([, value]) => typeof value === "number" && Number.isFinite(value));
  return Object.fromEntries(numbers.map(([name, value]) => [prefix + name, value]));
}

/** Runs `train` with hooks that also tell the loggers; ends when these have written what they were told. */
export async function withLoggers<H extends TrainHooks>(
  loggers: readonly Logger[],
  hooks: H,
  train: (hooks: H) => Promise<TrainResult>,
): Promise<TrainResult> {
  if (loggers.length === 0) return train(hooks);
  const told = loggers.map((logger) => ({ logger, queue: Promise.resolve(), broken: false }));
  const tell = (what: (logger: Logger) => void | Promise<void>) => {
    for (const one of told) {
      one.queue = one.queue.then(async () => {
        if (one.broken) return;
        try {
          await what(one.logger);
        } catch (error) {
          one.broken = true;
          hooks.onNote?.(`a logger failed and is told no more: ${error instanceof Error ? error.message : error}`);
        }
      });
    }
  };
  let done = 0;
  const listening: H = {
    ...hooks,
    onStart(info: RunInfo) {
      done = info.resumedAt ?? 0;
      tell((logger) => logger.onStart?.(info));
      hooks.onStart?.(info);
    },
    onStep(metrics: StepMetrics) {
      done = metrics.step;
      const record = numbersOf(metrics);
      tell((logger) => logger.onMetrics(metrics.step, record));
      hooks.onStep?.(metrics);
    },
    onEval(when: "before" | "after" | number, result: EvalResult) {
      const record = evaluationNumbers(result);
      const step = done;
      tell((logger) => logger.onMetrics(step, record));
      hooks.onEval?.(when, result);
    },
  };
  let result: TrainResult | null = null;
  try {
    result = await train(listening);
    return result;
  } finally {
    const end = result;
    tell((logger) => logger.onEnd?.(end));
    await Promise.all(told.map(({ queue }) => queue));
  }
}

/** One logger, several or none, as a list. */
export function loggerList(given: Logger | readonly Logger[] | undefined): readonly Logger[] {
  if (!given) return [];
  return Array.isArray(given) ? given : [given as Logger];
}
