/** @file Rewards to begin with, by what they are good for. */
import { exampleReward } from "./setup.ts";

export const rewardExamples: Readonly<Record<string, string>> = {
  "Mentions of some words": exampleReward,
  "Close to 60 characters": `// 1 at the wanted length, less the further away.
export default ({ completion }) => Math.max(0, 1 - Math.abs(completion.length - 60) / 60);
`,
  "The answer of the row": `// For JSON lines with an "answer" column.
export default ({ completion, row }) => (completion.includes(String(row.answer)) ? 1 : 0);
`,
  "Valid JSON": `export default ({ completion }) => {
  try {
    JSON.parse(completion);
    return 1;
  } catch {
    return 0;
  }
};
`,
  "A mathematical answer": `// Compares the last answer exactly with the row's "answer" column: 1/2, 0.5 and \\frac{1}{2} are one.
import { mathAnswer } from "cohort/rewards";

export default mathAnswer();
`,
  "JSON of a form": `import { jsonFormat } from "cohort/rewards";

export default jsonFormat({
  schema: { type: "object", required: ["name"], properties: { name: { type: "string" }, age: { type: "number" } } },
});
`,
  "Two rewards: vowels, and no repeats": `// Several exports are several rewards; they are added.
export default ({ completion }) =>
  (completion.match(/[aeiou]/gi) ?? []).length / Math.max(1, completion.length);

export const variety = ({ completion }) =>
  new Set(completion).size / Math.max(1, completion.length);
`,
};
