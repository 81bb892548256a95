/** @file Code that a model writes, run against the row's tests in the sandbox. */
import { CohortError } from "../../core/errors.ts";
import { fencedBlock } from "../../core/rewards/answer.ts";
import type { RewardFunction, Sample } from "../../core/rewards/reward.ts";
import { show } from "../../core/show.ts";
import { parseBare } from "./format.ts";
import { above0, checkOptions, columnName, extraction, type Kind } from "./options.ts";
import { column, tooLong } from "./row.ts";
import { type Outcome, runInSandbox, type SandboxLimits } from "./sandbox.ts";

/** An expression that must be true, or a call and the JSON value that it must give. */
export type CodeTest = string | { readonly call: string; readonly equals: unknown };

export interface CodeOptions {
  /** column that holds the list of tests; default "tests" */
  tests?: string;
  /** JavaScript in a completion; default: its last fenced block of JavaScript, else all of it */
  extract?(completion: string): string;
  /** score: the share of tests passed, or 1 for all of them and 0 otherwise; default "share" */
  score?: "share" | "all";
  /** for the program and for each test: tens of thousands of loop rounds and calls; default 1000 */
  work?: number;
  /** megabytes of heap beyond the interpreter's first 16; default 32 */
  memory?: number;
  /** seconds of wall clock after which the worker is ended, whatever it counts; default 10 */
  seconds?: number;
}

const scoreKind: Kind = { may: (x) => x === "share" || x === "all", give: '"share" or "all"' };

const LANGUAGES = ["js", "javascript", "mjs", "ecmascript"];

/**
 * How much of the row's tests the completion's JavaScript passes. What does not parse, throws at the start, exceeds a limit
 * or hangs passes none (of tests that ran before a limit, nothing counts less). The program sees no test, no network, no file,
 * no clock; random numbers are the same each time. It runs in a worker: the page or process stays live.
 */
export function codeTests(options: CodeOptions = {}): RewardFunction {
  const limited = { work: above0, memory: above0, seconds: above0 };
  checkOptions("codeTests", options, { tests: columnName, extract: extraction, score: scoreKind, ...limited });
  const { tests: name = "tests", score = "share", work = 1000, memory = 32, seconds = 10 } = options;
  const extract = options.extract ?? ((text: string) => fencedBlock(text, LANGUAGES) ?? text);
  const limits = { work, memory: memory * 2 ** 20, output: 1_000_000 };
  const syntaxError = syntaxChecker(limits, 1000 * seconds);
  return async (sample) => {
    const tests = testsOf(sample, name);
    const expressions = tests.map((test) => (typeof test === "string" ? test : test.call));
    const errors = await Promise.all(expressions.map(syntaxError));
    const wrong = errors.findIndex((error) => error !== null);
    if (wrong >= 0) {
      throw new CohortError(
        "bad-reward",
        `codeTests: test ${wrong + 1} of column "${name}", ${show(expressions[wrong])}, does not parse: ${errors[wrong]}`,
        "correct it in the prompts: no completion could pass it",
      );
    }
    if (tooLong(sample)) return 0;
    const program = extract(sample.completion);
    const answer = await runInSandbox({ program, expressions, ...limits }, 1000 * seconds);
    if (!answer || failed(answer.program)) return 0;
    const passed = tests.filter((test, i) => passes(test, answer.expressions[i])).length;
    return score === "all" ? Number(passed === tests.length) : passed / tests.length;
  };
}

/** Texts whose syntax is remembered; beyond them all are asked anew. */
const MOST_REMEMBERED = 100_000;

/** The syntax error of a test, or null: asked of the sandbox once for each text, which is not run. */
function syntaxChecker(limits: SandboxLimits, timeout: number): (test: string) => Promise<string | null> {
  const known = new Map<string, Promise<string | null>>();
  const ask = async (test: string) => {
    // A script is parsed to its end before its first statement runs; a runtime of its own, since names may stand in two tests.
    const answer = await runInSandbox({ program: `throw 0;\n${test}`, expressions: [], ...limits }, timeout);
    const outcome = answer?.program;
    return outcome && "error" in outcome && outcome.message.startsWith("SyntaxError") ? outcome.message : null;
  };
  return (test) => {
    if (known.size >= MOST_REMEMBERED) known.clear();
    const answer = known.get(test) ?? ask(test);
    known.set(test, answer);
    // A worker that could not be started may be at the next try.
    answer.catch(() => known.delete(test));
    return answer;
  };
}

/** What a program is worth (undefined, a function) does not matter, only that it ran. */
const failed = (program: Outcome) => "error" in program && program.error !== "output";

function passes(test: CodeTest, outcome: Outcome | undefined): boolean {
  if (!outcome || "error" in outcome) return false;
  if (typeof test === "string") return "json" in outcome && outcome.json === "true";
  return "json" in outcome && sameJson(parseBare(outcome.json), test.equals);
}

/** Equality of JSON values; the order of keys does not matter. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a === b;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [one, other] = [a as Record<string, unknown>, b as Record<string, unknown>];
  const keys = Object.keys(one);
  return (
    keys.length === Object.keys(other).length &&
    keys.every((key) => Object.hasOwn(other, key) && sameJson(one[key], other[key]))
  );
}

function testsOf(sample: Sample, name: string): readonly CodeTest[] {
  const value = column(sample, name, "codeTests", "tests");
  const right = (test: unknown): test is CodeTest =>
    typeof test === "string" ||
    (typeof test === "object" && test !== null && "call" in test && typeof test.call === "string" && "equals" in test);
  if (Array.isArray(value) && value.length > 0 && value.every(right)) return value;
  throw new CohortError(
    "bad-reward",
    `codeTests: column "${name}" is ${show(value)}`,
    'give a list of "f(1) === 2" or {"call": "f(1)", "equals": 2}',
  );
}
