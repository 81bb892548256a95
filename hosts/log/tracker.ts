/** @file Trackers with the shape of Weights & Biases, and a callback as a logger. */
import type { Logger, MetricRecord } from "./logger.ts";

/** What a run of `wandb`, and of trackers that follow it (trackio, SwanLab, …), offers. */
export interface TrackerRun {
  log(record: Record<string, number>, options?: { step?: number }): unknown;
  finish?(): unknown;
  config?: unknown;
}

/**
 * Logs to a tracker's run that the app has started. A step arrives once, with an evaluation's numbers in it: such trackers
 * drop a step that comes again. Where a run continues, `resume` the tracker's own run too: what it holds of later steps is
 * the same in bits, and is not sent twice (`from`).
 * @param from steps that the tracker has already; default 0
 */
export function tracker(run: TrackerRun, { from = 0 }: { from?: number } = {}): Logger {
  let held: { step: number; record: Record<string, number> } | null = null;
  const send = async () => {
    if (held && (held.step > from || from === 0)) await run.log(held.record, { step: held.step });
    held = null;
  };
  return {
    async onMetrics(step: number, record: MetricRecord) {
      if (held && held.step !== step) await send();
      held = { step, record: { ...held?.record, ...record } };
    },
    async onEnd() {
      await send();
      await run.finish?.();
    },
  };
}
