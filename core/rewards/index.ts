export type { ChatMessage, RewardFunction, RewardSpec, Row, Sample } from "./reward.ts";
export { dryRun, type RewardResult, runRewards } from "./run.ts";
