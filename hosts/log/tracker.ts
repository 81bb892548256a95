/** @file Weights & Biases, and what takes metrics as its client does, as a logger. */
import type { TrainResult } from "../../core/api.ts";
import type { Logger, MetricRecord } from "./logger.ts";

/**
 * What the client of Weights & Biases for JavaScript (@wandb/sdk) offers, as the object `wandb` and as the run that
 * `wandb.init` gives. Its arguments stand in the order of the Python client's: log(data, step, commit), finish(code).
 */
export interface TrackerRun {
  log(record: Record<string, number>, step?: number): unknown;
  finish?(code?: number): unknown;
}

/**
 * Logs to a tracker's run that the app has started. A step arrives once, with an evaluation's numbers in it: such trackers
 * drop a step that comes again. Where a run continues, `resume` the tracker's own run too: what it holds of later steps is
 * the same in bits, and is not sent twice (`from`). A run that fails is finished with code 1.
 * @param from steps that the tracker has already; default 0
 */
export function tracker(run: TrackerRun, { from = 0 }: { from?: number } = {}): Logger {
  let held: { step: number; record: Record<string, number> } | null = null;
  const send = async () => {
    if (held && (held.step > from || from === 0)) await run.log(held.record, held.step);
    held = null;
  };
  return {
    async onMetrics(step: number, record: MetricRecord) {
      if (held && held.step !== step) await send();
      held = { step, record: { ...held?.record, ...record } };
    },
    async onEnd(result: TrainResult | null) {
      await send();
      await run.finish?.(result === null ? 1 : 0);
    },
  };
}
