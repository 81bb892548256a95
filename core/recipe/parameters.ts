/**
 * @file Parameters of a recipe: how they are declared, and what is wrong with a value.
 */
export interface Param<T> {
  default: T;
  doc: string;
  type: "number" | "integer" | "boolean" | "string" | "range" | "any";
  nullable?: boolean;
  min?: number;
  max?: number;
  choices?: readonly string[];
  /** Of a value of any type: that it is a list of finite numbers, each at least `min`; so many of them where `length` says. */
  items?: { min?: number; length?: number };
  /** The key of the run's configuration that it repeats: a run that does not set the parameter takes that key's value. */
  config?: "promptsPerStep" | "rolloutsPerPrompt" | "learningRate" | "maxTokens";
}

interface Bounds {
  min?: number;
  max?: number;
  config?: Param<number>["config"];
}

export const number = (value: number, doc: string, bounds: Bounds = {}): Param<number> => ({
  default: value,
  doc,
  type: "number",
  ...bounds,
});
export const integer = (value: number, doc: string, bounds: Bounds = {}): Param<number> => ({
  ...number(value, doc, bounds),
  type: "integer",
});
/** A number, or null for "off" or "open". */
export const optional = (value: number | null, doc: string, bounds: Bounds = {}): Param<number | null> => ({
  default: value,
  doc,
  type: "number",
  nullable: true,
  ...bounds,
});
export const flag = (value: boolean, doc: string): Param<boolean> => ({ default: value, doc, type: "boolean" });
export const choice = <const T extends string>(value: NoInfer<T>, choices: readonly T[], doc: string): Param<T> => ({
  default: value,
  doc,
  type: "string",
  choices,
});
/** [lo, hi] or null. */
export const range = (value: [number, number] | null, doc: string): Param<[number, number] | null> => ({
  default: value,
  doc,
  type: "range",
  nullable: true,
});
/** A list of numbers. */
export const list = (value: number[], doc: string, items: Param<unknown>["items"] = {}): Param<number[]> => ({
  default: value,
  doc,
  type: "any",
  items,
});
/** Anything JSON holds (lists, records, free text); the recipe checks it. */
export const anything = <T>(value: T, doc: string): Param<T> => ({ default: value, doc, type: "any" });

// biome-ignore lint/suspicious/noExplicitAny: the parameters of a recipe that is only known at run time
export type Params = Record<string, any>;
export type ParamSpecs = Readonly<Record<string, Param<unknown>>>;
export type Values<S extends ParamSpecs> = { readonly [K in keyof S]: S[K]["default"] };

/** What is wrong with the value, as a remedy, or undefined. */
export function faultOf(spec: Param<unknown>, value: unknown): string | undefined {
  if (spec.items) return listFault(spec.items, value);
  if (spec.type === "any" || (value === null && spec.nullable)) return undefined;
  const orNull = spec.nullable ? " or null" : "";
  if (spec.type === "boolean") return typeof value === "boolean" ? undefined : "give true or false";
  if (spec.type === "string") {
    if (typeof value !== "string") return "give a text";
    return spec.choices && !spec.choices.includes(value) ? `choose one of ${spec.choices.join(", ")}` : undefined;
  }
  if (spec.type === "range") {
    const pair = Array.isArray(value) && value.length === 2 && value.every((x) => typeof x === "number" && x - x === 0);
    return pair && value[0] <= value[1] ? undefined : `give [low, high]${orNull}`;
  }
  if (typeof value !== "number" || value - value !== 0) return `give a finite number${orNull}`;
  if (spec.type === "integer" && !Number.isInteger(value)) return "give a whole number";
  if (spec.min !== undefined && value < spec.min) return `give a number of at least ${spec.min}`;
  if (spec.max !== undefined && value > spec.max) return `give a number of at most ${spec.max}`;
  return undefined;
}

function listFault({ min, length }: NonNullable<Param<unknown>["items"]>, value: unknown): string | undefined {
  const numbers = Array.isArray(value) && value.every((x) => typeof x === "number" && x - x === 0);
  if (!numbers || (length !== undefined && value.length !== length)) {
    return `give a list of ${length === undefined ? "" : `${length} `}finite numbers`;
  }
  return min !== undefined && value.some((x) => x < min) ? `give numbers of at least ${min}` : undefined;
}
