/**
 * @file Hooks of a run that may be computed again from its last checkpoint, after the loss of its device: what was told is
 * not told again.
 */
import type { TrainHooks } from "../api.ts";

export interface TellingOnce {
  readonly hooks: TrainHooks;
  /** The run folder, once the run has started. */
  readonly run: string | null;
}

export function tellOnce(hooks: TrainHooks): TellingOnce {
  let run: string | null = null;
  let [warm, step] = [0, 0];
  const said = new Set<string | number>();
  const isNew = (what: string | number) => said.size < said.add(what).size;
  return {
    get run() {
      return run;
    },
    hooks: {
      ...hooks,
      onStart(info) {
        if (run === null) hooks.onStart?.(info);
        run = info.run;
      },
      onWarmStart(progress) {
        if (progress.step <= warm) return;
        warm = progress.step;
        hooks.onWarmStart?.(progress);
      },
      onStep(metrics) {
        if (metrics.step <= step) return;
        step = metrics.step;
        hooks.onStep?.(metrics);
      },
      onEval(when, result) {
        if (isNew(when)) hooks.onEval?.(when, result);
      },
      onNote(text) {
        if (isNew(text)) hooks.onNote?.(text);
      },
    },
  };
}
