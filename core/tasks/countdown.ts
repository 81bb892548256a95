/**
 * @file Countdown: reach the target with every given number exactly once, + − × and parentheses (÷ where asked).
 * Checked exactly: the expression is parsed and evaluated in rationals.
 */

import { evaluateArithmetic, usesExactly } from "../rewards/arithmetic.ts";
import type { RewardSpec, Row, Sample } from "../rewards/reward.ts";
import { drawing, readParameters, rightByReward, type Task } from "./task.ts";

/** @param given {numbers: how many, 2–4; max: the largest, 2–99; target: the largest target, 5–999; division: 1 allows ÷} */
export function countdown(given: Record<string, unknown> = {}): Task {
  const parameters = readParameters("countdown", given, {
    numbers: { default: 3, min: 2, max: 4 },
    max: { default: 9, min: 2, max: 99 },
    target: { default: 99, min: 5, max: 999 },
    division: { default: 0, min: 0, max: 1 },
  });
  const { numbers: count, max, target: largest, splitSeed, shaping } = parameters;
  const operators = parameters.division ? "+-*/" : "+-*";

  const legal = (text: string, row: Row) => {
    const found = evaluateArithmetic(text);
    const allowed = parameters.division || !/[/÷]/.test(text);
    return found && allowed && usesExactly(found.numbers, row.numbers as number[]) ? found.value : null;
  };
  const correct = ({ completion, row }: Sample) => {
    const value = legal(completion, row);
    return Number(value !== null && value.denominator === 1n && value.numerator === BigInt(Number(row.target)));
  };
  const rewards: RewardSpec[] = [{ name: "correct", weight: 1, fn: correct }];
  if (shaping > 0) {
    rewards.push({ name: "legal", weight: shaping, fn: (s) => Number(legal(s.completion, s.row) !== null) });
  }
  const digits = String(max).length;
  return {
    name: "countdown",
    describe: `Reach the target with all ${count} numbers: "3,5,6=21:" wants an expression such as "3*5+6".`,
    alphabet: `0123456789,=:()${operators}\n`,
    stopCharacter: "\n",
    maxPromptTokens: count * (digits + 1) + String(largest).length + 1,
    // n numbers, n − 1 operators, and two parentheses around all but the whole
    maxCompletionTokens: count * digits + (count - 1) + 2 * Math.max(0, count - 2) + 1,
    rewards,
    prompts: drawing("countdown", splitSeed, (random) => {
      for (;;) {
        const numbers = Array.from({ length: count }, () => 1 + random.below(max));
        const target = 1 + random.below(largest);
        if (solve(numbers, target, operators) === null) continue;
        const key = `${[...numbers].sort((a, b) => a - b).join(",")}=${target}`;
        return { key, row: { prompt: `${numbers.join(",")}=${target}:`, numbers, target } };
      }
    }),
    reward: correct,
    supervised: (row) => solve(row.numbers as number[], Number(row.target), operators) ?? "",
    isRight: rightByReward,
    answer: (completion) => {
      const found = evaluateArithmetic(completion);
      return found ? `${found.value.numerator}/${found.value.denominator}` : completion;
    },
  };
}

interface Term {
  /** value = numerator / denominator, small enough for exact doubles at four numbers below 100 */
  readonly numerator: number;
  readonly denominator: number;
  readonly text: string;
  /** 3 a number, 2 a product, 1 a sum */
  readonly binds: number;
}

/** The first expression found for a target, with no parenthesis that precedence makes needless; null where none is. */
export function solve(numbers: readonly number[], target: number, operators = "+-*"): string | null {
  const search = (terms: readonly Term[]): string | null => {
    if (terms.length === 1) {
      return terms[0].numerator === target * terms[0].denominator ? terms[0].text : null;
    }
    for (let i = 0; i < terms.length; i++) {
      for (let j = 0; j < terms.length; j++) {
        if (i === j) continue;
        const rest = terms.filter((_, k) => k !== i && k !== j);
        for (const operator of operators) {
          if ((operator === "+" || operator === "*") && j < i) continue;
          const made = combine(terms[i], operator, terms[j]);
          const found = made && search([made, ...rest]);
          if (found) return found;
        }
      }
    }
    return null;
  };
  return search(numbers.map((n) => ({ numerator: n, denominator: 1, text: String(n), binds: 3 })));
}

function combine(a: Term, operator: string, b: Term): Term | null {
  const wrap = (term: Term, least: number) => (term.binds < least ? `(${term.text})` : term.text);
  if (operator === "+" || operator === "-") {
    const sign = operator === "+" ? 1 : -1;
    return {
      numerator: a.numerator * b.denominator + sign * b.numerator * a.denominator,
      denominator: a.denominator * b.denominator,
      text: `${wrap(a, 1)}${operator}${wrap(b, sign > 0 ? 1 : 2)}`,
      binds: 1,
    };
  }
  if (operator === "/" && b.numerator === 0) return null;
  return {
    numerator: a.numerator * (operator === "*" ? b.numerator : b.denominator),
    denominator: a.denominator * (operator === "*" ? b.denominator : b.numerator),
    text: `${wrap(a, 2)}${operator}${wrap(b, operator === "*" ? 2 : 3)}`,
    binds: 2,
  };
}
