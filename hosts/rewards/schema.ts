/** @file Whether a JSON schema can be one: the validator takes any object, and finds a misspelt type in no value at all. */
import { CohortError, nearest } from "../../core/errors.ts";
import { isRecord } from "../../core/given.ts";
import { show } from "../../core/show.ts";

const TYPES = ["string", "number", "integer", "boolean", "object", "array", "null"];
/** What other languages call them. */
const OTHERS: Readonly<Record<string, string>> = { int: "integer", float: "number", bool: "boolean", dict: "object" };

/** Keywords that hold a schema, a list of schemas, or schemas by name. */
const ONE =
  "items additionalItems unevaluatedItems contains additionalProperties unevaluatedProperties propertyNames not if then else";
const LIST = "prefixItems allOf anyOf oneOf";
const NAMED = "properties patternProperties dependentSchemas $defs definitions";
const [one, list, named] = [ONE, LIST, NAMED].map((words) => words.split(" "));

const NUMBERS =
  "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength minItems maxItems minContains maxContains minProperties maxProperties".split(
    " ",
  );

type Fields = Record<string, unknown>;

function refuse(where: string, value: unknown, remedy: string): never {
  throw new CohortError("bad-reward", `jsonFormat: ${where} is ${show(value)}`, remedy);
}

/**
 * Refuses what no value fits, or what the validator would stumble over at the first value.
 * @throws CohortError("bad-reward") naming the place in the schema, like schema.properties.age.type
 */
export function checkSchema(schema: unknown, where = "schema", seen = new Set<unknown>()): void {
  if (typeof schema === "boolean" || seen.has(schema)) return;
  if (!isRecord(schema)) refuse(where, schema, 'give a JSON schema: an object like { type: "object" }, true or false');
  seen.add(schema);
  checkTypes(schema, where);
  checkValues(schema, where);
  const given = (name: string) => Object.hasOwn(schema, name) && schema[name] !== undefined;
  for (const name of one.filter(given)) {
    const value = schema[name];
    // Before 2020-12, items could be a list; the validator takes it still.
    if (name === "items" && Array.isArray(value)) checkList(value, `${where}.items`, seen);
    else checkSchema(value, `${where}.${name}`, seen);
  }
  for (const name of list.filter(given)) checkList(schema[name], `${where}.${name}`, seen);
  for (const name of named.filter(given)) {
    const value = schema[name];
    if (!isRecord(value)) refuse(`${where}.${name}`, value, "give an object of schemas by name");
    for (const [key, inner] of Object.entries(value)) checkSchema(inner, `${where}.${name}.${key}`, seen);
  }
}

function checkList(value: unknown, where: string, seen: Set<unknown>): void {
  if (!Array.isArray(value)) refuse(where, value, "give a list of schemas");
  value.forEach((inner, i) => {
    checkSchema(inner, `${where}[${i}]`, seen);
  });
}

function checkTypes({ type }: Fields, where: string): void {
  if (type === undefined) return;
  const types: unknown[] = Array.isArray(type) ? type : [type];
  const wrong = types.find((name) => typeof name !== "string" || !TYPES.includes(name));
  if (types.length > 0 && wrong === undefined && !types.includes(undefined)) return;
  const near = typeof wrong === "string" ? (OTHERS[wrong] ?? nearest(wrong, TYPES)) : undefined;
  const meant = near ? `did you mean "${near}"? ` : "";
  refuse(`${where}.type`, type, `${meant}There are ${TYPES.join(", ")}`);
}

function checkValues(schema: Fields, where: string): void {
  for (const name of NUMBERS) {
    const value = schema[name];
    if (value !== undefined && typeof value !== "number") refuse(`${where}.${name}`, value, "give a number");
  }
  const { required, enum: among, pattern } = schema;
  const names = Array.isArray(required) && required.every((name) => typeof name === "string");
  if (required !== undefined && !names) refuse(`${where}.required`, required, "give a list of names");
  if (among !== undefined && !Array.isArray(among)) refuse(`${where}.enum`, among, "give a list of values");
  const expressions = isRecord(schema.patternProperties) ? Object.keys(schema.patternProperties) : [];
  if (pattern !== undefined) {
    if (typeof pattern !== "string") refuse(`${where}.pattern`, pattern, "give a regular expression as text");
    expressions.push(pattern);
  }
  for (const expression of expressions) {
    try {
      new RegExp(expression, "u");
    } catch (cause) {
      refuse(`a pattern in ${where}`, expression, `correct it: ${(cause as Error).message}`);
    }
  }
}
