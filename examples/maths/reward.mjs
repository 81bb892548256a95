import { finalAnswer, mathAnswer } from "cohort/rewards";

/** 1 where the sum is right, however it is written: 12, 12.0 and 24/2 are equal. */
export default mathAnswer();

/** Between wrong answers, the nearer one is the better: a slope to climb before the first right ones. */
export const near = ({ completion, row }) => {
  const said = finalAnswer(completion);
  return /^\d+$/.test(said) ? Math.max(0, 1 - Math.abs(Number(said) - Number(row.answer)) / 20) : 0;
};
