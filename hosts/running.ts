/**
 * @file A run in hand: what an app observes, pauses and stops while it goes on. Works over any engine's `train`, on whichever
 * side of a worker it is.
 */
import type { TrainHooks, TrainResult } from "../core/api.ts";
import type { TrainConfig } from "../core/config.ts";
import type { StepMetrics } from "../core/log.ts";

/**
 * A run that has begun. Iterating gives every step from the first one of this run, however late one starts, and ends with
 * the run; a run that fails throws there. Leaving the loop leaves the run alone.
 */
export interface TrainingRun extends AsyncIterable<StepMetrics> {
  readonly result: Promise<TrainResult>;
  readonly paused: boolean;
  /** Waits after the step in hand; device and memory stay as they are. */
  pause(): void;
  resume(): void;
  /** Ends after the step in hand, with a checkpoint; the same as aborting the hooks' `signal`. */
  stop(): Promise<TrainResult>;
}

/** Starts `train` and hands the run back at once. */
export function startRun<H extends TrainHooks>(
  train: (config: TrainConfig, hooks: H) => Promise<TrainResult>,
  config: TrainConfig,
  hooks: H,
): TrainingRun {
  const stopping = new AbortController();
  const steps: StepMetrics[] = [];
  let paused = false;
  let ended = false;
  let news = withResolvers<void>();
  let gate: ReturnType<typeof withResolvers<void>> | null = null;
  const tell = () => {
    const old = news;
    news = withResolvers<void>();
    old.resolve();
  };
  const open = () => {
    paused = false;
    gate?.resolve();
    gate = null;
  };
  const stop = () => {
    stopping.abort();
    open();
  };
  if (hooks.signal?.aborted) stop();
  hooks.signal?.addEventListener("abort", stop, { once: true });
  const result = train(config, {
    ...hooks,
    signal: stopping.signal,
    onStep(metrics) {
      steps.push(metrics);
      hooks.onStep?.(metrics);
      tell();
    },
    async beforeStep(step) {
      await hooks.beforeStep?.(step);
      if (!paused) return;
      gate ??= withResolvers<void>();
      await gate.promise;
    },
  }).finally(() => {
    ended = true;
    hooks.signal?.removeEventListener("abort", stop);
    tell();
  });
  // Whoever only iterates hears of a failure there.
  result.catch(() => {});
  return {
    result,
    get paused() {
      return paused;
    },
    pause() {
      paused = !ended && !stopping.signal.aborted;
    },
    resume: open,
    stop() {
      stop();
      return result;
    },
    async *[Symbol.asyncIterator]() {
      for (let at = 0; ; ) {
        while (at < steps.length) yield steps[at++];
        if (ended) break;
        await news.promise;
      }
      await result;
    },
  };
}

function withResolvers<T>() {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
