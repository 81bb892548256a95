/**
 * @file Hugging Face's tokenizer.json and chat templates, through their own JavaScript libraries, loaded when needed.
 */
import type { Tokenizer as Library } from "@huggingface/tokenizers";
import { CohortError } from "../errors.ts";
import { checkIds, parseJsonObject } from "./checks.ts";
import type { ChatMessage, ChatOptions, Tokenizer } from "./tokenizer.ts";

/** What a chat template sees of the special tokens, by the names of tokenizer_config.json. */
const specialNames = ["bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"];

/**
 * @param files texts of tokenizer.json and, where there are, tokenizer_config.json, special_tokens_map.json and
 * chat_template.jinja
 * @param dir names the folder in errors
 * @throws CohortError "bad-model" where a file is damaged or of an unknown kind
 */
export async function huggingFaceTokenizer(files: Record<string, string>, dir: string): Promise<Tokenizer> {
  const part = (name: string) => (files[name] === undefined ? {} : parseJsonObject(files[name], `${dir}/${name}`));
  const model = part("tokenizer.json");
  const config = part("tokenizer_config.json");
  const specials = specialTokens({ ...part("special_tokens_map.json"), ...config });

  const { Tokenizer: Construct } = await import("@huggingface/tokenizers");
  let library: Library;
  try {
    library = new Construct({ added_tokens: [], ...model }, config);
    useReferenceByteFallback(library);
  } catch (error) {
    throw new CohortError(
      "bad-model",
      `${dir}/tokenizer.json: cannot be used (${(error as Error).message})`,
      "download it again; if it persists, its kind of tokenizer is not supported",
      { cause: error },
    );
  }
  const tokens = library.model?.vocab ?? [];
  const idOf = (name: string) => (specials[name] === undefined ? undefined : library.token_to_id(specials[name]));
  const eosId = idOf("eos_token");
  const template = chatTemplate(files["chat_template.jinja"], config.chat_template);
  const render = template === undefined ? undefined : await compile(template);

  return {
    vocabSize: tokens.length,
    bosId: idOf("bos_token"),
    eosIds: eosId === undefined ? [] : [eosId],
    padId: idOf("pad_token"),
    encode(text, { addSpecial = true } = {}) {
      const { ids } = library.encode(text, { add_special_tokens: addSpecial });
      if (ids.every(Number.isInteger)) return ids;
      throw new CohortError(
        "bad-input",
        `tokenizer.encode: the vocabulary has no token for a part of ${JSON.stringify(text.slice(0, 60))}`,
        "use text that the model's tokenizer can express",
      );
    },
    decode(ids, { skipSpecial = false } = {}) {
      // A model's vocabulary is often padded beyond the tokenizer's; those ids have no text.
      const known = checkIds(ids, "tokenizer.decode").filter((id) => tokens[id] !== undefined);
      if (known.length === 0) return "";
      // "Clean-up" removes spaces before punctuation: a leftover of BERT that would make decode∘encode lossy.
      return library.decode(known, { skip_special_tokens: skipSpecial, clean_up_tokenization_spaces: false });
    },
    chat(messages, options = {}) {
      if (render) return render(messages, specials, options);
      throw new CohortError(
        "bad-input",
        `tokenizer.chat: ${dir} has no chat template`,
        "give prompts as text, or put a chat_template.jinja into the model's folder",
      );
    },
    hasChatTemplate: template !== undefined,
    files: () => ({ ...files }),
  };
}

/** Special tokens are strings, or objects with `content`. */
function specialTokens(config: Record<string, unknown>): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of specialNames) {
    const value = config[name] as string | { content?: unknown } | null | undefined;
    const content = typeof value === "object" && value !== null ? value.content : value;
    if (typeof content === "string") found[name] = content;
  }
  return found;
}

/** The file wins; a list of templates has one named "default". */
function chatTemplate(file: string | undefined, given: unknown): string | undefined {
  if (file !== undefined) return file;
  if (typeof given === "string") return given;
  if (!Array.isArray(given)) return undefined;
  const chosen = given.find((entry) => entry?.name === "default") ?? given[0];
  return typeof chosen?.template === "string" ? chosen.template : undefined;
}

interface Chain {
  decoders?: Chain[];
  config?: { type?: string };
  decode_chain?: (tokens: string[]) => string[];
}

/**
 * The library decodes a run of byte tokens as a browser would; the reference (tokenizers, decoders/byte_fallback.rs)
 * gives one U+FFFD for each byte of a run that is not UTF-8, and keeps a byte-order mark.
 */
function useReferenceByteFallback(library: Library): void {
  const visit = (decoder: Chain) => {
    for (const inner of decoder.decoders ?? []) visit(inner);
    if (decoder.config?.type === "ByteFallback") decoder.decode_chain = decodeByteFallback;
  };
  if (library.decoder) visit(library.decoder as unknown as Chain);
}

function decodeByteFallback(tokens: string[]): string[] {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const out: string[] = [];
  let bytes: number[] = [];
  const flush = () => {
    if (bytes.length === 0) return;
    try {
      out.push(decoder.decode(Uint8Array.from(bytes)));
    } catch {
      out.push("\ufffd".repeat(bytes.length));
    }
    bytes = [];
  };
  for (const token of tokens) {
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token);
    if (byte) {
      bytes.push(Number.parseInt(byte[1], 16));
    } else {
      flush();
      out.push(token);
    }
  }
  flush();
  return out;
}

type Render = (messages: readonly ChatMessage[], specials: Record<string, string>, options: ChatOptions) => string;

/**
 * Compiles a chat template. `strftime_now` stays undefined, so that templates fall back on their fixed date: a prompt
 * that changes with the day would make no run repeatable. A template that does not parse is told of when it is used.
 */
async function compile(template: string): Promise<Render> {
  const { Environment, Interpreter, parse, tokenize } = await import("@huggingface/jinja");
  const fault = (error: unknown) =>
    new CohortError(
      "bad-input",
      `tokenizer.chat: the chat template refuses: ${(error as Error).message}`,
      "change the messages to what the template takes (roles and their order), or the template",
      { cause: error },
    );
  let program: ReturnType<typeof parse>;
  try {
    program = parse(tokenize(template, { lstrip_blocks: true, trim_blocks: true }));
  } catch (error) {
    return () => {
      throw fault(error);
    };
  }
  return (messages, specials, { addGenerationPrompt = false, variables = {} }) => {
    const environment = new Environment();
    const values: Record<string, unknown> = {
      true: true,
      false: false,
      none: null,
      True: true,
      False: false,
      None: null,
      tools: null,
      documents: null,
      range,
      raise_exception: (message: string) => {
        throw new Error(message);
      },
      ...specials,
      ...variables,
      messages,
      add_generation_prompt: addGenerationPrompt,
    };
    try {
      for (const [name, value] of Object.entries(values)) environment.set(name, value);
      return String(new Interpreter(environment).run(program).value);
    } catch (error) {
      throw fault(error);
    }
  };
}

/** Python's range. */
function range(start: number, stop?: number, step = 1): number[] {
  if (stop === undefined) return range(0, start);
  if (step === 0) throw new Error("range() arg 3 must not be zero");
  const list: number[] = [];
  for (let at = start; step > 0 ? at < stop : at > stop; at += step) list.push(at);
  return list;
}
