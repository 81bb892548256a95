/**
 * @file From the nested lists of a case to flat fields.
 */
import { ALL, Level } from "../rl/level.ts";
import { bad, checkNumbers } from "./check.ts";
import type { Field, FieldRule } from "./fields.ts";

const isNested = (value: unknown): boolean => Array.isArray(value) && value.some(Array.isArray);

/** Lengths by `length`, else by the first ragged field over tokens, else none. */
export function lengthsOf(json: Record<string, unknown>, ruleOf: (name: string) => FieldRule): number[] {
  const named = Object.entries(json).filter(([name]) => ruleOf(name).shape[0] !== "raw");
  const nested = named.find(([name, v]) => ["token", "vocabulary"].includes(ruleOf(name).shape[0]) && isNested(v));
  const flat = named.find(([name, v]) => Array.isArray(v) && ruleOf(name).shape.includes("trajectory") && !isNested(v));
  if (Array.isArray(json["length"]) && ruleOf("length").shape[0] !== "raw") {
    // Lengths without tokens are numbers like any other; a level of tokens is made only where some field fills it.
    return nested ? (json["length"] as number[]) : (json["length"] as unknown[]).map(Number);
  }
  const ragged = named.find(([, v]) => isNested(v) && (v as unknown[]).every(Array.isArray));
  // A row that is no list is named where its field is read.
  if (nested && isNested(nested[1]))
    return (nested[1] as unknown[]).map((row) => (Array.isArray(row) ? row.length : 0));
  if (ragged && !flat) return (ragged[1] as unknown[][]).map((row) => row.length);
  const group = json["group"];
  const count = flat ? (flat[1] as unknown[]).length : Array.isArray(group) ? group.length : 0;
  const rewards = json["rewards"];
  if (count === 0 && rewards && typeof rewards === "object") {
    const first = Object.values(rewards)[0];
    if (Array.isArray(first)) return new Array(first.length).fill(0);
  }
  return new Array(count).fill(0);
}

function toNumber(value: unknown): number {
  return typeof value === "number" ? value : value === true ? 1 : value === false ? 0 : Number.NaN;
}

function flatten(name: string, value: unknown, lengths: readonly number[]): Float64Array {
  if (!Array.isArray(value) || value.length !== lengths.length) {
    const got = Array.isArray(value) ? `${value.length} rows` : JSON.stringify(value);
    throw bad(
      `Batch.fromCase: field '${name}' has ${got} for ${lengths.length} trajectories`,
      "give one list a trajectory",
    );
  }
  let total = 0;
  for (let i = 0; i < value.length; i++) {
    const row = value[i];
    if (!Array.isArray(row) || row.length !== lengths[i]) {
      const got = Array.isArray(row) ? `${row.length} tokens` : JSON.stringify(row);
      throw bad(
        `Batch.fromCase: field '${name}', trajectory ${i}: ${got}, its length is ${lengths[i]}`,
        "give one number a token",
      );
    }
    total += row.length;
  }
  const data = new Float64Array(total);
  let at = 0;
  for (const row of value as unknown[][]) for (const x of row) data[at++] = toNumber(x);
  return data;
}

function raggedField(name: string, value: unknown, trajectory: Level): Field {
  if (!Array.isArray(value) || value.length !== trajectory.size || !value.every(Array.isArray)) {
    throw bad(
      `Batch.fromCase: field '${name}' is not a list of ${trajectory.size} lists`,
      "give one list a trajectory",
    );
  }
  const offsets = new Int32Array(trajectory.size + 1);
  value.forEach((row, i) => {
    offsets[i + 1] = offsets[i] + row.length;
  });
  const level = new Level(name, offsets[trajectory.size]).link(trajectory, { offsets });
  const data = Float64Array.from((value as unknown[][]).flat(), toNumber);
  checkNumbers(name, level, data, offsets);
  return { level, data };
}

function vocabularyField(
  name: string,
  value: unknown,
  token: Level,
  lengths: readonly number[],
  known: Level | undefined,
): Field {
  const rows: number[][] = [];
  if (!Array.isArray(value) || value.length !== lengths.length) {
    throw bad(
      `Batch.fromCase: field '${name}' is not a list of ${lengths.length} trajectories`,
      "give rows over the vocabulary for each token",
    );
  }
  value.forEach((tokens, i) => {
    if (!Array.isArray(tokens) || tokens.length !== lengths[i] || !tokens.every(Array.isArray)) {
      throw bad(
        `Batch.fromCase: field '${name}', trajectory ${i}: no ${lengths[i]} rows over the vocabulary`,
        "give one row a token",
      );
    }
    rows.push(...(tokens as number[][]));
  });
  const offsets = new Int32Array(rows.length + 1);
  rows.forEach((row, t) => {
    offsets[t + 1] = offsets[t] + row.length;
  });
  const data = Float64Array.from(rows.flat(), toNumber);
  const same = known && known.size === data.length;
  const level = same ? known : new Level("vocabulary", data.length).link(token, { offsets });
  checkNumbers(name, level, data, offsets, "token");
  return { level, data };
}

export function addScalars(
  fields: Map<string, Field>,
  name: string,
  level: Level,
  list: readonly unknown[],
  offsets: Int32Array,
  nullable: boolean,
): void {
  const data = Float64Array.from(list, toNumber);
  if (nullable && list.includes(null)) {
    const present = Float64Array.from(list, (x) => (x === null ? 0 : 1));
    list.forEach((x, i) => {
      if (x === null) data[i] = 0;
    });
    fields.set(`${name}.present`, { level, data: present });
  }
  // A flag may be text (a role, a task): such lists stay raw, and are read as keys.
  const text = list.findIndex((x) => typeof x === "string");
  if (text >= 0) {
    if (!list.some((x) => typeof x === "number" || typeof x === "boolean")) return;
    throw bad(
      `Batch.fromCase: field '${name}' has ${JSON.stringify(list[text])} at ${text} among numbers`,
      "give all of them as numbers, or all as text",
    );
  }
  checkNumbers(name, level, data, offsets);
  fields.set(name, { level, data });
}

export function addRewards(fields: Map<string, Field>, trajectory: Level, value: unknown, offsets: Int32Array): void {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw bad("Batch.fromCase: 'rewards' is not an object of lists", "give { name: one number a trajectory }");
  }
  for (const [name, list] of Object.entries(value)) {
    if (!Array.isArray(list) || list.length !== trajectory.size) {
      throw bad(
        `Batch.fromCase: 'rewards.${name}' has no ${trajectory.size} entries`,
        "give one number (or null) a trajectory",
      );
    }
    addScalars(fields, `rewards.${name}`, trajectory, list, offsets, true);
  }
}

/** Puts the fields of a case where they belong. @returns the level of rows over the vocabulary, where there are any */
export function readFields(
  json: Readonly<Record<string, unknown>>,
  levels: { token: Level; trajectory: Level; group: Level; vocabulary?: Level },
  ruleOf: (name: string) => FieldRule,
  fields: Map<string, Field>,
  raw: Map<string, unknown>,
): Level | undefined {
  const offsets = levels.token.edge(levels.trajectory).offsets as Int32Array;
  const lengths = Array.from({ length: levels.trajectory.size }, (_, i) => offsets[i + 1] - offsets[i]);
  let vocabulary = levels.vocabulary;
  for (const [name, value] of Object.entries(json)) {
    if (name === "group") continue;
    const rule = ruleOf(name);
    raw.set(name, value);
    if (rule.shape[0] === "raw") {
      if (name === "rewards" && !rule.declared) addRewards(fields, levels.trajectory, value, offsets);
      continue;
    }
    const shape = rule.shape.length === 1 ? rule.shape[0] : isNested(value) ? "token" : "trajectory";
    if (shape === "vocabulary") {
      const field = vocabularyField(name, value, levels.token, lengths, vocabulary);
      vocabulary = field.level;
      fields.set(name, field);
    } else if (shape === "ragged") {
      fields.set(name, raggedField(name, value, levels.trajectory));
    } else if (shape === "token") {
      const data = flatten(name, value, lengths);
      // A recipe that declares a standard field takes it as any number.
      checkNumbers(name, levels.token, data, offsets, "", rule.declared);
      fields.set(name, { level: levels.token, data });
    } else {
      const level = shape === "batch" ? ALL : shape === "group" ? levels.group : levels.trajectory;
      const list = shape === "batch" && !Array.isArray(value) ? [value] : value;
      if (!Array.isArray(list) || list.length !== level.size) {
        const count = Array.isArray(list) ? `${list.length} entries` : `${JSON.stringify(list)}`;
        throw bad(
          `Batch.fromCase: field '${name}' has ${count} for ${level.size} of '${level.name}'`,
          `give one number a ${level.name}`,
        );
      }
      addScalars(fields, name, level, list, offsets, rule.nullable ?? false);
    }
  }
  return vocabulary;
}
