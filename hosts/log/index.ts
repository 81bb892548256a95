/** @file The public names of `cohort/log`. */
export type { Logger, MetricRecord } from "./logger.ts";
