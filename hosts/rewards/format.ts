/** @file Rewards for form: a regular expression, JSON that a schema describes. */
import { type Schema, Validator } from "@cfworker/json-schema";
import { CohortError } from "../../core/errors.ts";
import { fencedBlock } from "../../core/rewards/answer.ts";
import type { RewardFunction } from "../../core/rewards/reward.ts";
import { characters, checkOne, checkOptions, extraction, finite, flag, type Kind } from "./options.ts";
import { column, MAX_CHARACTERS, tooLong } from "./row.ts";
import { checkSchema } from "./schema.ts";

const isExpression = (x: unknown): x is RegExp => Object.prototype.toString.call(x) === "[object RegExp]";
const patternKind: Kind = {
  may: (x) => typeof x === "string" || isExpression(x),
  give: "a regular expression: regexFormat(/<answer>.*<\\/answer>/s)",
};
/** What it says is checked apart. */
const schemaKind: Kind = {
  may: (x) => (typeof x === "object" && x !== null) || typeof x === "boolean" || (typeof x === "string" && x !== ""),
  give: "a JSON schema, or the name of the column that holds one",
};

/**
 * 1 where the whole completion matches (`part`: where a part of it does), else 0. The engine's own expressions cannot be
 * stopped: write ones that do not backtrack without end ((a+)+ does), completions are cut at `most` characters.
 */
export function regexFormat(pattern: RegExp | string, options: { part?: boolean; most?: number } = {}): RewardFunction {
  checkOne("regexFormat", "the pattern", pattern, patternKind);
  checkOptions("regexFormat", options, { part: flag, most: characters });
  const { part = false, most = 10_000 } = options;
  const given = typeof pattern === "string" ? expression(pattern) : pattern;
  // A global or sticky expression would remember where it stopped.
  const flags = given.flags.replace(/[gy]/g, "");
  const whole = new RegExp(part ? given.source : `^(?:${given.source})$`, flags);
  return ({ completion }) => (completion.length <= most && whole.test(completion) ? 1 : 0);
}

function expression(source: string): RegExp {
  try {
    return new RegExp(source, "su");
  } catch (cause) {
    throw new CohortError("bad-reward", `regexFormat: ${(cause as Error).message}`, "correct the expression", {
      cause,
    });
  }
}

export interface JsonOptions {
  /** a JSON schema (draft 2020-12), or the name of the column that holds one; default: any JSON */
  schema?: Readonly<Record<string, unknown>> | boolean | string;
  /** for JSON that the schema refuses; default 0.2 */
  parses?: number;
  /** the JSON in a completion; default: the last fenced block where there is one, else all of it */
  extract?(completion: string): string;
}

/**
 * 1 for JSON that the schema accepts, `parses` for other JSON, 0 for what is no JSON. Objects are read without a prototype:
 * a key like `__proto__` or `constructor` is a key.
 */
export function jsonFormat(options: JsonOptions = {}): RewardFunction {
  checkOptions("jsonFormat", options, { schema: schemaKind, parses: finite, extract: extraction });
  const { schema = true, parses = 0.2 } = options;
  const extract = options.extract ?? ((text: string) => fencedBlock(text, ["json"]) ?? text);
  const validators = new Map<string, Validator>();
  const fixed = typeof schema === "string" ? null : validatorOf(schema);
  return (sample) => {
    let validator = fixed;
    if (typeof schema === "string") {
      const own = column(sample, schema, "jsonFormat", "schema");
      const key = JSON.stringify(own);
      validator = validators.get(key) ?? validatorOf(own, `the row's ${schema}`);
      if (validators.size < 1000) validators.set(key, validator);
    }
    if (tooLong(sample)) return 0;
    const value = parseBare(extract(sample.completion));
    if (value === undefined) return 0;
    return validator!.validate(value).valid ? 1 : parses;
  };
}

function validatorOf(schema: unknown, where = "schema"): Validator {
  checkSchema(schema, where);
  try {
    return new Validator(schema as Schema | boolean, "2020-12");
  } catch (cause) {
    throw new CohortError("bad-reward", `jsonFormat: ${where}: ${(cause as Error).message}`, "correct it", { cause });
  }
}

/** Nesting beyond which a validator might leave no stack. */
const MAX_DEPTH = 200;

/** JSON whose objects have no prototype; undefined where the text is none, or nested too deep. */
export function parseBare(text: string): unknown {
  if (text.length > MAX_CHARACTERS || depthOf(text) > MAX_DEPTH) return undefined;
  try {
    return JSON.parse(text, (_, value) =>
      value && typeof value === "object" && !Array.isArray(value)
        ? Object.assign(Object.create(null), Object.fromEntries(Object.entries(value)))
        : value,
    );
  } catch {
    return undefined;
  }
}

/** The most brackets open at once, those in strings among them: an upper bound is enough. */
function depthOf(text: string): number {
  let depth = 0;
  let most = 0;
  for (const c of text) {
    if (c === "{" || c === "[") most = Math.max(most, ++depth);
    else if (c === "}" || c === "]") depth--;
  }
  return most;
}
