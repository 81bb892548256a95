/**
 * @file From examples to token ids: which tokens are context, which are learned.
 *
 * A completion's tokens are those of prompt and completion together, where they begin with the prompt's own (what the
 * policy is asked at sampling time); else each part is tokenized by itself. It ends with the model's stop token, as
 * sampled completions do.
 */
import { CohortError } from "../errors.ts";
import type { Sequence } from "../model/pack.ts";
import type { ChatMessage, Tokenizer } from "../model/tokenizer.ts";
import type { Example, Text } from "./example.ts";
import type { DataSource } from "./source.ts";

/** A sequence whose scored tokens are learned, but for those with mask 0 (turns of others in a conversation). */
export interface Learned extends Sequence {
  readonly ids: readonly number[];
  /** one a scored token */
  readonly mask: readonly (0 | 1)[];
}

/** What turns texts into ids. */
export interface Encoder {
  readonly tokenizer: Tokenizer;
  /** The first one ends what does not end by itself. */
  readonly stopIds: readonly number[];
  /** tokens */
  readonly context: number;
}

/** [chosen, rejected] of a preference, else one sequence. */
export function tokenize(example: Example, encoder: Encoder): Learned[] {
  const { where } = example;
  switch (example.format) {
    case "text":
      return [wholeText(example.text, where, encoder)];
    case "messages":
      return [conversation(example.messages, where, encoder)];
    case "preference":
      return (["chosen", "rejected"] as const).map((side) =>
        continuation(example.prompt, example[side], `${where}: "${side}"`, encoder),
      );
    default:
      return [continuation(example.prompt, example.completion, `${where}: "completion"`, encoder)];
  }
}

function wholeText(text: string, where: string, encoder: Encoder): Learned {
  const ids = ended(encoder.tokenizer.encode(text), encoder.stopIds);
  return learned(ids, 1, where, encoder);
}

function continuation(prompt: Text, completion: Text, where: string, encoder: Encoder): Learned {
  const { tokenizer, stopIds } = encoder;
  const [first, whole] = rendered(prompt, completion, tokenizer);
  const special = { addSpecial: typeof prompt === "string" };
  const before = tokenizer.encode(first, special);
  const together = tokenizer.encode(whole, special);
  const after = startsWith(together, before)
    ? together.slice(before.length)
    : tokenizer.encode(whole.slice(first.length), { addSpecial: false });
  if (before.length === 0) {
    throw new CohortError("bad-input", `${where}: its prompt has no token`, "give it some text");
  }
  if (before.length >= encoder.context) {
    throw new CohortError(
      "bad-input",
      `${where}: its prompt has ${before.length} tokens, the model's context is ${encoder.context}`,
      "shorten the prompt, or leave the row out",
    );
  }
  return learned([...before, ...ended(after, stopIds)], before.length, where, encoder);
}

/** The prompt as the policy is given it, and prompt and completion together; the second begins with the first. */
function rendered(prompt: Text, completion: Text, tokenizer: Tokenizer): [string, string] {
  if (typeof prompt === "string") return [prompt, prompt + (completion as string)];
  const first = tokenizer.chat(prompt, { addGenerationPrompt: true });
  const whole = tokenizer.chat([...prompt, ...(completion as readonly ChatMessage[])]);
  if (whole.startsWith(first)) return [first, whole];
  // Templates whose generation prompt opens more than an answer repeats (a thinking block): the turn as it stands.
  const open = tokenizer.chat(prompt);
  return whole.startsWith(open) ? [open, whole] : [first, first + text(completion as readonly ChatMessage[])];
}

const text = (messages: readonly ChatMessage[]) => messages.map((m) => String(m.content ?? "")).join("\n");

/** Turns one after the other; the assistant's are learned, stop token included. */
function conversation(messages: readonly ChatMessage[], where: string, encoder: Encoder): Learned {
  const { tokenizer, stopIds } = encoder;
  const ids: number[] = [];
  const marks: (0 | 1)[] = [];
  let done = "";
  const add = (piece: string, mark: 0 | 1) => {
    const more = tokenizer.encode(piece, { addSpecial: false });
    const stop = mark === 1 ? more.findLastIndex((id) => stopIds.includes(id)) : more.length - 1;
    // What a template puts after the stop token (a line break) is never sampled.
    const last = stop < 0 ? more.length - 1 : stop;
    more.forEach((id, k) => {
      ids.push(id);
      marks.push(k <= last ? mark : 0);
    });
  };
  const advance = (to: string, mark: 0 | 1) => {
    if (!to.startsWith(done)) {
      throw new CohortError(
        "bad-input",
        `${where}: the chat template writes earlier messages otherwise once there are more`,
        "give prompt and completion in place of messages",
      );
    }
    add(to.slice(done.length), mark);
    done = to;
  };
  messages.forEach((message, k) => {
    if (message.role !== "assistant") return;
    const opened = tokenizer.chat(messages.slice(0, k), { addGenerationPrompt: true });
    const closed = tokenizer.chat(messages.slice(0, k + 1));
    if (closed.startsWith(opened)) advance(opened, 0);
    advance(closed, 1);
  });
  const from = Math.max(1, marks.indexOf(1));
  // Turns after the assistant's last one are not there: nothing is learned from them.
  return learned(ids, from, where, encoder, marks.slice(from));
}

const startsWith = (list: readonly number[], head: readonly number[]) =>
  list.length > head.length && head.every((id, k) => id === list[k]);

/** With the stop token at the end; what a template puts after it (a line break) is never sampled, and left out. */
function ended(ids: readonly number[], stopIds: readonly number[]): number[] {
  const stop = ids.findLastIndex((id) => stopIds.includes(id));
  if (stop >= 0 && stop >= ids.length - 3) return ids.slice(0, stop + 1);
  return stopIds.length > 0 ? [...ids, stopIds[0]] : [...ids];
}

function learned(
  ids: readonly number[],
  from: number,
  where: string,
  { context }: Encoder,
  mask: readonly (0 | 1)[] = new Array<1>(Math.max(0, ids.length - from)).fill(1),
): Learned {
  if (ids.length > context) {
    throw new CohortError(
      "bad-input",
      `${where}: ${ids.length} tokens with its prompt, the model's context is ${context}`,
      "shorten it, or leave the row out",
    );
  }
  if (!mask.includes(1)) throw new CohortError("bad-input", `${where}: no token to learn`, "give it some text");
  return { ids, from, mask };
}

/** All texts of a data set. */
function* textsOf(source: DataSource): Iterable<string> {
  const plain = function* (value: Text): Iterable<string> {
    if (typeof value === "string") yield value;
    else for (const { content } of value) yield String(content ?? "");
  };
  for (const example of [...source.train, ...source.heldout]) {
    for (const name of ["prompt", "completion", "chosen", "rejected", "messages", "text"] as const) {
      if (name in example) yield* plain((example as unknown as Record<string, Text>)[name]);
    }
  }
}

/** Every character of a data set, in order of code points: the alphabet of a new model's tokenizer. */
export function alphabetOf(source: DataSource): string {
  const characters = new Set<string>();
  for (const one of textsOf(source)) for (const character of one) characters.add(character);
  return [...characters].sort((a, b) => (a.codePointAt(0) as number) - (b.codePointAt(0) as number)).join("");
}

/** Tokens of the longest example. */
export function longestOf(source: DataSource, tokenizer: Tokenizer): number {
  const encoder = { tokenizer, stopIds: tokenizer.eosIds, context: Number.POSITIVE_INFINITY };
  let most = 0;
  for (const example of [...source.train, ...source.heldout]) {
    for (const { ids } of tokenize(example, encoder)) most = Math.max(most, ids.length);
  }
  return most;
}
