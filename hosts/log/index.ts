/** @file The public names of `cohort/log`: where the curves of a run may go beside its own metrics.jsonl. */
export type { Logger, MetricRecord } from "./logger.ts";
export { type TensorBoardOptions, tensorBoard } from "./tensorboard.ts";
export { type TrackerRun, tracker } from "./tracker.ts";
