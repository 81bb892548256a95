/** @file Mathematical answers: exact rationals always, expressions with roots, functions and variables through mathjs. */
import { CohortError } from "../../core/errors.ts";
import { finalAnswer } from "../../core/rewards/answer.ts";
import { sameAnswer, type Undecided } from "../../core/rewards/compare.ts";
import { type Expression, variablesOf } from "../../core/rewards/expression.ts";
import type { RewardFunction } from "../../core/rewards/reward.ts";
import { checkOptions, columnName, extraction, flag } from "./options.ts";
import { textColumn, tooLong } from "./row.ts";

export interface MathOptions {
  /** column of the right answer; default "answer". Solutions in GSM8K's form (`… #### 42`) or with `\boxed{…}` are read too */
  answer?: string;
  /**
   * also compare what is not rational (√2, 2πr, (x+1)²), by values at several points: needs the package mathjs. Default
   * false: such answers are right only where they are written alike
   */
  symbolic?: boolean;
  /** where a completion says its answer; default: \boxed{}, ####, <answer>, "answer is", else the last line */
  extract?(completion: string): string;
}

/** 1 where the completion's final answer equals the row's, else 0. */
export function mathAnswer(options: MathOptions = {}): RewardFunction {
  checkOptions("mathAnswer", options, { answer: columnName, symbolic: flag, extract: extraction });
  const { answer = "answer", symbolic = false, extract = finalAnswer } = options;
  return async (sample) => {
    const undecided = symbolic ? await numericEquality() : undefined;
    const given = textColumn(sample, answer, "mathAnswer");
    if (tooLong(sample)) return 0;
    const wanted = /####|\\boxed\{/.test(given) ? finalAnswer(given) : given;
    return sameAnswer(extract(sample.completion), wanted, undecided) ? 1 : 0;
  };
}

/** Points that no formula singles out: fixed, so that a reward is a function of its sample. Of both signs, since √(x²) ≠ x. */
const POINTS = [0.7390851, 1.8392867, -0.5671433, 2.6651441, -1.3247179, 3.3598857, 0.2614972, -2.5029079];
const TOLERANCE = 1e-9;

let loaded: Promise<Undecided> | undefined;

function numericEquality(): Promise<Undecided> {
  loaded ??= load();
  return loaded;
}

async function load(): Promise<Undecided> {
  let mathjs: typeof import("mathjs");
  try {
    mathjs = await import("mathjs");
  } catch (cause) {
    throw new CohortError(
      "bad-reward",
      "mathAnswer: symbolic answers need the package mathjs",
      "npm i mathjs, or leave symbolic out",
      { cause },
    );
  }
  const { complex, compile } = mathjs;
  // Trees only hold what core/rewards/expression.ts knows: nothing of mathjs but arithmetic is reached, all in doubles.
  const evaluate = (tree: Expression, scope: Record<string, unknown>) =>
    complex(compile(written(tree)).evaluate(scope));
  return (a, b) => {
    const names = variablesOf(a);
    if (names.join() !== variablesOf(b).join()) {
      // x − x + 1 and 1 are equal; names of the one are free in the other.
      for (const name of variablesOf(b)) if (!names.includes(name)) names.push(name);
    }
    let agreed = 0;
    for (let k = 0; k < (names.length === 0 ? 1 : POINTS.length); k++) {
      const scope = Object.fromEntries(names.map((name, i) => [`v_${name}`, POINTS[(k + 3 * i) % POINTS.length]]));
      const x = evaluate(a, scope);
      const y = evaluate(b, scope);
      if (![x.re, x.im, y.re, y.im].every(Number.isFinite)) continue;
      const size = 1 + Math.abs(x.re) + Math.abs(x.im);
      if (Math.abs(x.re - y.re) + Math.abs(x.im - y.im) > TOLERANCE * size) return false;
      agreed++;
    }
    return agreed > 0;
  };
}

/** mathjs's own notation of a tree. */
function written(tree: Expression): string {
  switch (tree.kind) {
    case "number":
      return `(${tree.value.numerator}/${tree.value.denominator})`;
    case "variable":
      return `v_${tree.name}`;
    case "constant":
      return tree.name;
    case "negative":
      return `(-${written(tree.of)})`;
    case "operator":
      return `(${written(tree.left)}${tree.name}${written(tree.right)})`;
    case "call": {
      const inner = tree.arguments.map(written);
      if (tree.name === "ln") return `log(${inner[0]})`;
      if (tree.name === "log") return `log10(${inner[0]})`;
      if (tree.name === "root") return `((${inner[0]})^(1/(${inner[1]})))`;
      return `${tree.name}(${inner.join()})`;
    }
  }
}
