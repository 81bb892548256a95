/** @file What a caller gives, checked before any work: names that there are, and values that mean something. */
import { CohortError, nearest } from "./errors.ts";
import { show } from "./show.ts";

export const isRecord = (x: unknown): x is Record<string, unknown> =>
  typeof x === "object" && x !== null && !Array.isArray(x);

/** A value for a message: one that is absent, or text in place of a number, is said to be that. */
export function shown(value: unknown): string {
  if (value === undefined) return "not given";
  // Quotes alone are easily overlooked where the rest is right.
  const numeric = typeof value === "string" && value.trim() !== "" && !Number.isNaN(Number(value));
  return numeric ? `the text ${show(value)}` : show(value);
}

/** Refuses what is no object of options, and the names that none of them has. */
export function known(where: string, given: unknown, names: Readonly<Record<string, true>>, what = "an option"): void {
  if (!isRecord(given))
    throw new CohortError("bad-input", `${where}: got ${shown(given)}`, "give an object of options");
  for (const name in given) {
    if (Object.hasOwn(names, name) || !Object.hasOwn(given, name)) continue;
    const all = Object.keys(names);
    const near = nearest(name, all);
    const remedy = `${near ? `did you mean ${near}? ` : ""}There are ${all.join(", ")}`;
    throw new CohortError("bad-input", `${where}: ${name} is not ${what}`, remedy);
  }
}

/** Refuses a value that is given and does not fit. */
export function fits(
  where: string,
  given: object,
  name: string,
  may: (value: unknown) => boolean,
  remedy: string,
): void {
  const value = (given as Record<string, unknown>)[name];
  if (value === undefined || may(value)) return;
  throw new CohortError("bad-input", `${where}: ${name} is ${shown(value)}`, `give ${remedy}`);
}

export interface Limits {
  least: number;
  most?: number;
  whole?: boolean;
  /** The limits themselves are refused. */
  within?: boolean;
}

/** Refuses what is no number within the limits: one that is absent too. */
export function number(where: string, name: string, value: unknown, limits: Limits): void {
  const { least, most = Infinity, whole = false, within = false } = limits;
  if (typeof value === "number" && Number.isFinite(value) && (!whole || Number.isInteger(value))) {
    if (within ? value > least && value < most : value >= least && value <= most) return;
  }
  const range = within
    ? `above ${least}${most === Infinity ? "" : ` and below ${most}`}`
    : most === Infinity
      ? `of at least ${least}`
      : `from ${least} to ${most}`;
  throw new CohortError(
    "bad-input",
    `${where}: ${name} is ${shown(value)}`,
    `give a ${whole ? "whole " : ""}number ${range}`,
  );
}
