/**
 * @file Examples of a data set in the formats of TRL's documentation, from the columns of its rows:
 *
 *     text               {text}                              the whole text is learned
 *     messages           {messages}                          the assistant's turns are learned
 *     prompt-completion  {prompt, completion}                the completion is learned
 *     preference         {prompt, chosen, rejected}          or {chosen, rejected} that begin alike
 *     unpaired           {prompt, completion, label}         label: true for a good completion
 *
 * Texts are strings, or lists of chat messages that go through the tokenizer's template.
 */
import { CohortError, nearest } from "../errors.ts";
import type { ChatMessage } from "../model/tokenizer.ts";
import type { Columns, DataRow } from "./lines.ts";

export const dataFormats = ["prompt-completion", "preference", "unpaired", "messages", "text"] as const;
export type DataFormat = (typeof dataFormats)[number];

/** A text, or chat messages. */
export type Text = string | readonly ChatMessage[];

interface Placed {
  /** "FILE, line N" */
  readonly where: string;
}
export type Example =
  | (Placed & { readonly format: "text"; readonly text: string })
  | (Placed & { readonly format: "messages"; readonly messages: readonly ChatMessage[] })
  | (Placed & { readonly format: "prompt-completion"; readonly prompt: Text; readonly completion: Text })
  | (Placed & {
      readonly format: "unpaired";
      readonly prompt: Text;
      readonly completion: Text;
      readonly label: boolean;
    })
  | (Placed & {
      readonly format: "preference";
      readonly prompt: Text;
      readonly chosen: Text;
      readonly rejected: Text;
      /** By how much the chosen one should score higher (reward models). */
      readonly margin?: number;
    });

const COLUMNS: Readonly<Record<DataFormat, readonly string[]>> = {
  "prompt-completion": ["prompt", "completion"],
  preference: ["chosen", "rejected"],
  unpaired: ["prompt", "completion", "label"],
  messages: ["messages"],
  text: ["text"],
};

/** Every column that some format reads. */
export const dataColumns: readonly string[] = [...new Set([...Object.values(COLUMNS).flat(), "prompt", "margin"])];

/**
 * The format that a row's columns say.
 * @throws CohortError("bad-input") where they say none, with the nearest name
 */
export function formatOf({ where, columns }: DataRow): DataFormat {
  const has = (name: string) => columns[name] !== undefined && columns[name] !== null;
  if (has("chosen") || has("rejected")) return "preference";
  if (has("completion")) return has("label") ? "unpaired" : "prompt-completion";
  if (has("messages")) return "messages";
  if (has("text")) return "text";
  if (has("prompt") && Object.keys(columns).length === 1) {
    throw new CohortError(
      "bad-input",
      `${where}: only a prompt, and nothing to learn from it`,
      'add a completion, or train from rollouts: task {"prompts": FILE.jsonl, "reward": FILE.mjs}',
    );
  }
  throw missing(where, columns, [...new Set(Object.values(COLUMNS).flat())]);
}

/**
 * All rows as examples of one format.
 * @param format "auto": the first row's columns decide
 * @throws CohortError("bad-input") naming the row: a missing column, a wrong value, chosen the same as rejected
 */
export function readExamples(rows: readonly DataRow[], format: DataFormat | "auto"): Example[] {
  const chosen = format === "auto" ? formatOf(rows[0]) : format;
  return rows.map((row) => readExample(row, chosen));
}

function missing(where: string, columns: Columns, wanted: readonly string[]): CohortError {
  const names = Object.keys(columns);
  const absent = wanted.filter((name) => columns[name] === undefined || columns[name] === null);
  const near = absent.flatMap((name) => {
    const found = nearest(
      name,
      names.filter((n) => !wanted.includes(n)),
    );
    return found ? [`rename "${found}" to "${name}"`] : [];
  });
  return new CohortError(
    "bad-input",
    `${where}: no ${absent.map((n) => `"${n}"`).join(" or ")} among the columns (${names.join(", ") || "none"})`,
    near[0] ??
      `the formats are ${Object.values(COLUMNS)
        .map((list) => `{${list.join(", ")}}`)
        .join(" ")}`,
  );
}

function readExample({ where, columns }: DataRow, format: DataFormat): Example {
  for (const name of COLUMNS[format]) {
    if (columns[name] === undefined || columns[name] === null) throw missing(where, columns, COLUMNS[format]);
  }
  const text = (name: string): Text => readText(columns[name], `${where}: "${name}"`);
  switch (format) {
    case "text":
      if (typeof columns.text !== "string" || columns.text === "") throw wrong(`${where}: "text"`, columns.text);
      return { format, where, text: columns.text };
    case "messages": {
      const messages = text("messages");
      if (typeof messages === "string") throw wrong(`${where}: "messages"`, messages);
      if (!messages.some((m) => m.role === "assistant")) {
        throw new CohortError("bad-input", `${where}: no message of the assistant`, "add one: it is what is learned");
      }
      return { format, where, messages };
    }
    case "prompt-completion":
      return { format, where, ...alike(where, { prompt: text("prompt"), completion: text("completion") }) };
    case "unpaired": {
      const { label } = columns;
      if (typeof label !== "boolean" && label !== 0 && label !== 1) {
        throw new CohortError("bad-input", `${where}: "label" is ${shown(label)}`, "give true (good) or false (bad)");
      }
      const both = alike(where, { prompt: text("prompt"), completion: text("completion") });
      return { format, where, ...both, label: Boolean(label) };
    }
    case "preference": {
      const { margin } = columns;
      if (margin !== undefined && margin !== null && !(typeof margin === "number" && Number.isFinite(margin))) {
        throw new CohortError("bad-input", `${where}: "margin" is ${shown(margin)}`, "give a number, or leave it out");
      }
      const pair = alike(where, { chosen: text("chosen"), rejected: text("rejected") });
      const whole =
        columns.prompt === undefined || columns.prompt === null
          ? splitPrompt(where, pair)
          : alike(where, { prompt: text("prompt"), ...pair });
      if (JSON.stringify(whole.chosen) === JSON.stringify(whole.rejected)) {
        throw new CohortError("bad-input", `${where}: chosen and rejected are the same`, "leave the row out");
      }
      return { format, where, ...whole, ...(typeof margin === "number" && { margin }) };
    }
  }
}

const shown = (value: unknown) => (JSON.stringify(value) ?? "undefined").slice(0, 60);

function wrong(what: string, value: unknown): CohortError {
  return new CohortError("bad-input", `${what} is ${shown(value)}`, "give a text, or messages [{role, content}, …]");
}

function readText(value: unknown, what: string): Text {
  if (typeof value === "string") return value;
  const messages = Array.isArray(value) && value.length > 0;
  if (messages && value.every((m) => typeof m?.role === "string")) return value as ChatMessage[];
  throw wrong(what, value);
}

/** Texts or messages, not both in one row. */
function alike<T extends Record<string, Text>>(where: string, texts: T): T {
  if (new Set(Object.values(texts).map((t) => typeof t)).size === 1) return texts;
  const kinds = Object.entries(texts).map(([name, t]) => `${name} is ${typeof t === "string" ? "text" : "messages"}`);
  throw new CohortError("bad-input", `${where}: ${kinds.join(", ")}`, "give all as texts or all as messages");
}

/** The prompt is what both begin with: whole messages, or characters up to the space before the first difference. */
function splitPrompt(
  where: string,
  pair: { chosen: Text; rejected: Text },
): { prompt: Text; chosen: Text; rejected: Text } {
  const [chosen, rejected] = [Array.from<unknown>(pair.chosen), Array.from<unknown>(pair.rejected)];
  const same = (k: number) => JSON.stringify(chosen[k]) === JSON.stringify(rejected[k]);
  const most = Math.min(chosen.length, rejected.length);
  let at = 0;
  while (at < most && same(at)) at++;
  if (at < most && at > 0 && chosen[at - 1] === " ") at--;
  if (at === 0) {
    throw new CohortError("bad-input", `${where}: chosen and rejected do not begin alike`, 'give the column "prompt"');
  }
  const cut = (text: Text, from: number, to?: number) =>
    typeof text === "string" ? Array.from(text).slice(from, to).join("") : text.slice(from, to);
  return { prompt: cut(pair.chosen, 0, at), chosen: cut(pair.chosen, at), rejected: cut(pair.rejected, at) };
}
