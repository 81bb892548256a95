import { codeTests } from "cohort/rewards";

/** The completion is the body of f; it runs in the sandbox, against the row's tests. */
const program = (completion) => `const f = (x) => (${completion});`;

/** Share of the row's tests passed. */
export default codeTests({ extract: program });

/** Whether it is a program at all, and gives a number. */
const numeric = codeTests({ extract: program, tests: "plain" });
export const runsAtAll = (sample) =>
  numeric({ ...sample, row: { ...sample.row, plain: ["typeof f(2) === 'number'"] } });
