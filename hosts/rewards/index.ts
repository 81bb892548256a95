/**
 * @file The public names of `cohort/rewards`: ready-made reward functions. Each is made once, from options, and gives a number
 * (or null) for a sample; whatever a completion holds, it is answered in bounded time.
 */
export { finalAnswer } from "../../core/rewards/answer.ts";
export { sameAnswer } from "../../core/rewards/compare.ts";
export type { RewardFunction, Row, Sample } from "../../core/rewards/reward.ts";
export { type CodeOptions, type CodeTest, codeTests } from "./code.ts";
export { type JsonOptions, jsonFormat, regexFormat } from "./format.ts";
export { type JudgeOptions, judge } from "./judge.ts";
export { gated, lengthLimit, lengthTarget } from "./length.ts";
export { type MathOptions, mathAnswer } from "./maths.ts";
export { type ChoiceOptions, choiceAnswer, exactAnswer, setAnswer, type TextOptions } from "./text.ts";
