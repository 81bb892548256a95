/** @file What a ready-made reward may be made of: its options, checked when it is made and not at the first sample. */
import { CohortError, nearest } from "../../core/errors.ts";
import { show } from "../../core/show.ts";

/** What may stand in one option, and the remedy's words for it. */
export interface Kind {
  readonly may: (value: unknown) => boolean;
  readonly give: string;
  /** true: never shown in a message */
  readonly secret?: boolean;
}

const isNumber = (x: unknown): x is number => typeof x === "number" && Number.isFinite(x);
const isText = (x: unknown): x is string => typeof x === "string" && x !== "";

export const finite: Kind = { may: isNumber, give: "a number" };
export const above0: Kind = { may: (x) => isNumber(x) && x > 0, give: "a number above 0" };
export const atLeast0: Kind = { may: (x) => isNumber(x) && x >= 0, give: "a number from 0" };
export const count: Kind = { may: (x) => Number.isInteger(x) && (x as number) >= 1, give: "a whole number from 1" };
export const count0: Kind = { may: (x) => Number.isInteger(x) && (x as number) >= 0, give: "a whole number from 0" };
export const tokens: Kind = { may: above0.may, give: "a number of tokens above 0" };
export const characters: Kind = { may: (x) => typeof x === "number" && x > 0, give: "a number of characters above 0" };
export const flag: Kind = { may: (x) => typeof x === "boolean", give: "true or false" };
export const text: Kind = { may: isText, give: "a text" };
export const columnName: Kind = { may: isText, give: 'the name of a column, like "answer"' };
export const functionOf = (parameter: string, result: string): Kind => ({
  may: (x) => typeof x === "function",
  give: `a function of the ${parameter} that returns ${result}`,
});
export const extraction = functionOf("completion", "the text that counts");

/** The kind of each option: one that is added to a type and forgotten here does not compile. */
export type Kinds<T> = { readonly [name in keyof Required<T>]: Kind };

/**
 * @param needed the options without which the reward cannot be made
 * @throws CohortError("bad-reward") naming the reward, the option, its value or the nearest right name, and the remedy
 */
export function checkOptions<T extends object>(
  reward: string,
  given: T,
  kinds: Kinds<T>,
  needed: readonly (keyof T & string)[] = [],
): void {
  const names = Object.keys(kinds) as (keyof T & string)[];
  const call = `${reward}({ ${(needed.length > 0 ? needed : names.slice(0, 1)).map((name) => `${name}: …`).join(", ")} })`;
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    const got = given === undefined ? "there are no options" : `the options are ${show(given)}`;
    throw new CohortError("bad-reward", `${reward}: ${got}`, `give an object: ${call}`);
  }
  if ("completion" in given && "row" in given) {
    throw new CohortError(
      "bad-reward",
      `${reward}: got a sample, but it makes a reward and is none itself`,
      `call it where the reward is named: ${needed.length > 0 ? call : `${reward}()`}`,
    );
  }
  const unknown = Object.keys(given).find((name) => !Object.hasOwn(kinds, name));
  if (unknown !== undefined) {
    const near = nearest(unknown, names);
    const meant = near ? `did you mean "${near}"? ` : "";
    throw new CohortError(
      "bad-reward",
      `${reward}: "${unknown}" is no option`,
      `${meant}There are ${names.join(", ")}`,
    );
  }
  for (const name of names) {
    const value = given[name];
    if (value === undefined && !needed.includes(name)) continue;
    checkOne(reward, name, value, kinds[name]);
  }
}

/** @throws CohortError("bad-reward") as `checkOptions`, for one value */
export function checkOne(reward: string, name: string, value: unknown, { may, give, secret }: Kind): void {
  if (may(value)) return;
  const is = value === undefined ? "is not given" : secret ? `is no such thing (${typeof value})` : `is ${show(value)}`;
  throw new CohortError("bad-reward", `${reward}: ${name} ${is}`, `give ${give}`);
}
