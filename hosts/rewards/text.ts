/** @file Answers that are words: exact texts, one of several choices, sets of items. */
import { CohortError } from "../../core/errors.ts";
import { finalAnswer } from "../../core/rewards/answer.ts";
import type { RewardFunction, Sample } from "../../core/rewards/reward.ts";
import { checkOptions, columnName, extraction, flag, type Kind } from "./options.ts";
import { column, textColumn, tooLong } from "./row.ts";

export interface TextOptions {
  /** column of the right answer; default "answer" */
  answer?: string;
  /** part of the completion that counts; default: all of it */
  extract?(completion: string): string;
  /** default false: case, and how much space stands where, do not count */
  strict?: boolean;
}

const plain = (text: string) => text.normalize("NFKC").replace(/\s+/g, " ").trim().toLowerCase();
const same = (a: string, b: string, strict: boolean) => (strict ? a === b : plain(a) === plain(b));

/** 1 where the completion is the row's answer; of a list of answers, one of them. */
export function exactAnswer(options: TextOptions = {}): RewardFunction {
  checkOptions("exactAnswer", options, { answer: columnName, extract: extraction, strict: flag });
  const { answer = "answer", extract = (text) => text, strict = false } = options;
  return (sample) => {
    const wanted = Array.isArray(column(sample, answer, "exactAnswer"))
      ? listColumn(sample, answer, "exactAnswer")
      : [textColumn(sample, answer, "exactAnswer")];
    if (tooLong(sample)) return 0;
    const given = extract(sample.completion);
    return wanted.some((text) => same(given, text, strict)) ? 1 : 0;
  };
}

export interface ChoiceOptions extends Omit<TextOptions, "strict"> {
  /** what may be chosen; default A, B, C, D, E */
  choices?: readonly string[];
}

const twoChoices: Kind = {
  may: (x) => Array.isArray(x) && x.length > 1 && x.every((choice) => typeof choice === "string" && choice !== ""),
  give: 'a list of two or more texts, like ["yes", "no"]',
};

/**
 * 1 where the completion chooses the row's answer and no other: the final answer is taken (core/rewards/answer.ts), and the
 * choices in it counted as whole words.
 */
export function choiceAnswer(options: ChoiceOptions = {}): RewardFunction {
  checkOptions("choiceAnswer", options, { answer: columnName, choices: twoChoices, extract: extraction });
  const { answer = "answer", choices = ["A", "B", "C", "D", "E"], extract = finalAnswer } = options;
  const patterns = choices.map((choice) => {
    const literal = choice.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    // A single letter counts as a capital only: "a" is an article.
    return new RegExp(`(?<![\\p{L}\\p{N}])${literal}(?![\\p{L}\\p{N}])`, choice.length === 1 ? "u" : "iu");
  });
  return (sample) => {
    const wanted = plain(textColumn(sample, answer, "choiceAnswer"));
    if (!choices.some((choice) => plain(choice) === wanted)) {
      throw new CohortError(
        "bad-reward",
        `choiceAnswer: the row's answer ${JSON.stringify(wanted.slice(0, 60))} is none of ${choices.join(", ")}`,
        "give its choices: choiceAnswer({ choices: […] })",
      );
    }
    if (tooLong(sample)) return 0;
    const text = extract(sample.completion);
    const chosen = choices.filter((_, k) => patterns[k].test(text));
    return chosen.length === 1 && plain(chosen[0]) === wanted ? 1 : 0;
  };
}

/** F1 of the items in the completion (parted by commas, semicolons or lines) and those of the row: 1 for the same set. */
export function setAnswer(options: Omit<TextOptions, "strict"> = {}): RewardFunction {
  checkOptions("setAnswer", options, { answer: columnName, extract: extraction });
  const { answer = "answer", extract = (text) => text } = options;
  const items = (text: string) => text.split(/[,;\n]+/).map((item) => plain(item).replace(/^(?:[-*•]|\d+[.)])\s+/, ""));
  return (sample) => {
    const value = column(sample, answer, "setAnswer");
    const wanted = new Set(
      (Array.isArray(value)
        ? listColumn(sample, answer, "setAnswer").map(plain)
        : items(textColumn(sample, answer, "setAnswer"))
      ).filter(Boolean),
    );
    if (tooLong(sample)) return 0;
    const given = new Set(items(extract(sample.completion)).filter(Boolean));
    if (wanted.size + given.size === 0) return 1;
    const shared = [...given].filter((item) => wanted.has(item)).length;
    return (2 * shared) / (wanted.size + given.size);
  };
}

function listColumn(sample: Sample, name: string, reward: string): string[] {
  const value = column(sample, name, reward) as unknown[];
  if (value.every((item) => typeof item === "string" || typeof item === "number")) return value.map(String);
  throw new CohortError("bad-reward", `${reward}: column "${name}" is a list of other things than texts`, "give texts");
}
