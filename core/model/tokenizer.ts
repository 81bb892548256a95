/**
 * @file What the engine asks of a tokenizer, two small ones of its own for self-made models, and loading by folder.
 *
 * Hugging Face tokenizers are in tokenizer-huggingface.ts, which is imported only where a model has one.
 */
import { CohortError } from "../errors.ts";
import { readText, type Storage } from "../host.ts";
import { joinPath } from "../storage.ts";
import { checkIds, parseJsonObject } from "./checks.ts";

export interface ChatMessage {
  readonly role: string;
  readonly content: unknown;
  readonly [key: string]: unknown;
}

export interface ChatOptions {
  /** Ends the text with the opening of the assistant's turn. Default false. */
  readonly addGenerationPrompt?: boolean;
  /** Further variables of the template, for instance `{enable_thinking: false}` of Qwen3. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/** Text to token ids and back. */
export interface Tokenizer {
  /** Highest id plus one. */
  readonly vocabSize: number;
  readonly bosId?: number;
  readonly eosIds: readonly number[];
  readonly padId?: number;
  /**
   * @param options.addSpecial whether the tokenizer adds what it puts around a text, such as a begin token; default true
   * @throws CohortError "bad-input" for text that it cannot express
   */
  encode(text: string, options?: { addSpecial?: boolean }): number[];
  /**
   * @param options.skipSpecial leaves begin, end and padding tokens out; default false
   * @throws CohortError "bad-input" for an id that is no whole number; ids that have no token give no text
   */
  decode(ids: ArrayLike<number>, options?: { skipSpecial?: boolean }): string;
  /**
   * The text of a conversation in the model's own format; encode it with `addSpecial: false`.
   *
   * @throws CohortError "bad-input" where there is no template, or the template refuses the messages
   */
  chat(messages: readonly ChatMessage[], options?: ChatOptions): string;
  readonly hasChatTemplate: boolean;
  /** The files that restore it, by name. */
  files(): Record<string, string>;
}

/**
 * The text of `ids` as it follows `prefix`. Decoded alone, a continuation would lose its leading space under
 * SentencePiece-like tokenizers, which strip the first one of a text.
 */
export function decodeContinuation(
  tokenizer: Tokenizer,
  prefix: ArrayLike<number>,
  ids: ArrayLike<number>,
  options: { skipSpecial?: boolean } = {},
): string {
  const before = tokenizer.decode(prefix, options);
  const whole = tokenizer.decode([...Array.from(prefix), ...Array.from(ids)], options);
  // A character whose bytes are split between the two reads differently in the whole.
  return whole.startsWith(before) ? whole.slice(before.length) : tokenizer.decode(ids, options);
}

/** Name of the file of a tokenizer that is not Hugging Face's. */
export const ownTokenizerFile = "cohort-tokenizer.json";
const huggingFaceFile = "tokenizer.json";
const optionalFiles = ["tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"];

/** Whether the folder holds a tokenizer that `loadTokenizer` reads. */
export async function hasTokenizer(storage: Storage, dir: string): Promise<boolean> {
  return (await storage.exists(joinPath(dir, huggingFaceFile))) || storage.exists(joinPath(dir, ownTokenizerFile));
}

/**
 * Loads the tokenizer of a model's folder.
 *
 * @throws CohortError "bad-model" where there is none, or it is damaged
 */
export async function loadTokenizer(storage: Storage, dir: string): Promise<Tokenizer> {
  const own = joinPath(dir, ownTokenizerFile);
  if (await storage.exists(own)) return restoreOwn(await readText(storage, own), own);
  if (!(await storage.exists(joinPath(dir, huggingFaceFile)))) {
    throw new CohortError(
      "bad-model",
      `loadTokenizer: ${dir} has no ${huggingFaceFile}`,
      "add it (transformers' AutoTokenizer.save_pretrained writes it); SentencePiece and vocab.json are not read",
    );
  }
  const files: Record<string, string> = {};
  for (const name of [huggingFaceFile, ...optionalFiles]) {
    const path = joinPath(dir, name);
    if (await storage.exists(path)) files[name] = await readText(storage, path);
  }
  const { huggingFaceTokenizer } = await import("./tokenizer-huggingface.ts");
  return huggingFaceTokenizer(files, dir);
}

function restoreOwn(text: string, path: string): Tokenizer {
  const json = parseJsonObject(text, path);
  if (json.type === "byte") return byteTokenizer();
  if (json.type === "character" && Array.isArray(json.alphabet) && json.alphabet.every((c) => typeof c === "string")) {
    return characterTokenizer(json.alphabet);
  }
  throw new CohortError("bad-model", `${path}: not a tokenizer of type "byte" or "character"`, "copy the file again");
}

/** Ids of the three special tokens of the tokenizers below; the others follow. */
const [padId, bosId, eosId, firstId] = [0, 1, 2, 3];
const specialNames = ["<pad>", "<bos>", "<eos>"];

function withSpecials(
  type: string,
  settings: object,
  units: number,
  encode: (text: string) => number[],
  decode: (units: number[]) => string,
): Tokenizer {
  return {
    vocabSize: firstId + units,
    bosId,
    eosIds: [eosId],
    padId,
    encode(text, { addSpecial = true } = {}) {
      const ids = encode(text).map((unit) => unit + firstId);
      return addSpecial ? [bosId, ...ids] : ids;
    },
    decode(ids, { skipSpecial = false } = {}) {
      let text = "";
      let run: number[] = [];
      for (const id of checkIds(ids, `${type}Tokenizer.decode`)) {
        if (id >= firstId) {
          if (id < firstId + units) run.push(id - firstId);
        } else if (!skipSpecial) {
          text += decode(run) + specialNames[id];
          run = [];
        }
      }
      return text + decode(run);
    },
    chat() {
      throw new CohortError(
        "bad-input",
        `${type}Tokenizer.chat: this tokenizer has no chat template`,
        "give prompts as text",
      );
    },
    hasChatTemplate: false,
    files: () => ({ [ownTokenizerFile]: `${JSON.stringify({ type, ...settings })}\n` }),
  };
}

/**
 * One token a character of the alphabet, after <pad>, <bos>, <eos> (ids 0, 1, 2); encoding begins with <bos>.
 *
 * @param alphabet characters (Unicode code points), each once
 * @throws CohortError "bad-config" for an empty alphabet, a character given twice, or more than one in an entry
 */
export function characterTokenizer(alphabet: string | Iterable<string>): Tokenizer {
  const characters = [...alphabet];
  const unit = new Map<string, number>();
  for (const character of characters) {
    const fault = unit.has(character) ? "is there twice" : [...character].length === 1 ? "" : "is not one character";
    if (fault) {
      throw new CohortError(
        "bad-config",
        `characterTokenizer: ${JSON.stringify(character)} ${fault}`,
        "list each character of the alphabet once",
      );
    }
    unit.set(character, unit.size);
  }
  if (unit.size === 0) throw new CohortError("bad-config", "characterTokenizer: the alphabet is empty", "list some");
  const encode = (text: string) =>
    Array.from(text, (character, at) => {
      const found = unit.get(character);
      if (found !== undefined) return found;
      throw new CohortError(
        "bad-input",
        `characterTokenizer.encode: ${JSON.stringify(character)} at ${at} is not in the alphabet`,
        `use only the ${characters.length} characters ${JSON.stringify(characters.join("").slice(0, 80))}`,
      );
    });
  const decode = (units: number[]) => units.map((k) => characters[k]).join("");
  return withSpecials("character", { alphabet: characters }, characters.length, encode, decode);
}

/** One token a UTF-8 byte, after <pad>, <bos>, <eos> (ids 0, 1, 2); encoding begins with <bos>. */
export function byteTokenizer(): Tokenizer {
  const encoder = new TextEncoder();
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return withSpecials(
    "byte",
    {},
    256,
    (text) => [...encoder.encode(text)],
    (bytes) => decoder.decode(Uint8Array.from(bytes)),
  );
}
