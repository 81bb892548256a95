import { existsSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { CohortError } from "../core/errors.ts";
import {
  byteTokenizer,
  characterTokenizer,
  decodeContinuation,
  loadTokenizer,
  type Tokenizer,
} from "../core/model/tokenizer.ts";
import { huggingFaceTokenizer } from "../core/model/tokenizer-huggingface.ts";
import { memoryStorage } from "../core/storage.ts";
import { nodeStorage } from "../hosts/storage.ts";

const stories = "../shared/models/stories260K";

describe.skipIf(!existsSync(stories))("the tokenizer of stories260K (skipped where ../shared is absent)", () => {
  let tokenizer: Tokenizer;
  let reference: { greedy_ids: number[]; greedy_text: string };
  beforeAll(async () => {
    tokenizer = await loadTokenizer(nodeStorage(), stories);
    reference = JSON.parse(readFileSync(`${stories}/reference.json`, "utf8"));
  });

  test("the greedy story decodes to its text, and its text encodes to its ids", () => {
    expect(tokenizer.decode(reference.greedy_ids, { skipSpecial: true })).toBe(reference.greedy_text);
    expect(tokenizer.encode(reference.greedy_text)).toEqual(reference.greedy_ids);
    expect(tokenizer.encode(reference.greedy_text, { addSpecial: false })).toEqual(reference.greedy_ids.slice(1));
    expect(tokenizer).toMatchObject({ vocabSize: 512, bosId: 1, eosIds: [2], hasChatTemplate: false });
  });

  test("special tokens stay unless they are asked away; nothing decodes to nothing", () => {
    expect(tokenizer.decode([1, 403, 407])).toBe("<s> Once upon");
    expect(tokenizer.decode([1, 403, 407, 2], { skipSpecial: true })).toBe("Once upon");
    expect(tokenizer.decode([])).toBe("");
    expect(tokenizer.encode("")).toEqual([1]);
  });

  test("characters outside the vocabulary go through bytes and come back", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        // Text that spells out a special or a byte token means that token.
        fc.pre(!/<0x|<s>|<\/s>|<unk>|▁/.test(text));
        expect(tokenizer.decode(tokenizer.encode(text), { skipSpecial: true })).toBe(text);
      }),
    );
  });

  test("a run of bytes that is not UTF-8 gives one U+FFFD a byte, as the reference decoder does", () => {
    const snowman = tokenizer.encode("x☃", { addSpecial: false }).slice(-3);
    expect(tokenizer.decode(snowman)).toBe("☃");
    expect(tokenizer.decode(snowman.slice(0, 2))).toBe("\ufffd\ufffd");
    expect(tokenizer.decode([...snowman, snowman[0]])).toBe("\ufffd".repeat(4));
    expect(tokenizer.decode([...snowman.slice(0, 1), 403, ...snowman])).toBe("\ufffd Once☃");
    const mark = tokenizer.encode("\ufeffa", { addSpecial: false });
    expect(tokenizer.decode(mark)).toBe("\ufeffa");
  });

  test("a continuation keeps its leading space", () => {
    const [prefix, rest] = [reference.greedy_ids.slice(0, 3), reference.greedy_ids.slice(3, 6)];
    expect(decodeContinuation(tokenizer, prefix, rest)).toBe(" a time,");
    expect(tokenizer.decode(rest)).toBe("a time,");
  });

  test("ids without a token give no text; what is no id is refused", () => {
    expect(tokenizer.decode([403, 600])).toBe("Once");
    expect(() => tokenizer.decode([403, 1.5])).toThrow(/tokenizer.decode: 1.5 is no token id/);
  });

  test("its files restore it", async () => {
    const again = await huggingFaceTokenizer(tokenizer.files(), "again");
    expect(again.encode(reference.greedy_text)).toEqual(reference.greedy_ids);
  });
});

/** A byte-level BPE tokenizer as Qwen's: 256 bytes, a merge or two, special tokens, and a split by regular expression. */
function byteLevel(config: object, files: Record<string, string> = {}): Promise<Tokenizer> {
  const alphabet: string[] = [];
  for (let byte = 0, next = 256; byte < 256; byte++) {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    alphabet.push(String.fromCharCode(printable ? byte : next++));
  }
  const merges = [
    ["h", "e"],
    ["Ġ", "t"],
    ["Ġt", "he"],
  ];
  const words = [...alphabet, ...merges.map((pair) => pair.join(""))];
  const special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].map((content, k) => ({
    id: words.length + k,
    content,
    special: true,
    normalized: false,
    single_word: false,
    lstrip: false,
    rstrip: false,
  }));
  const json = {
    version: "1.0",
    added_tokens: special,
    normalizer: { type: "NFC" },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        {
          type: "Split",
          behavior: "Isolated",
          invert: false,
          pattern: {
            Regex:
              "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
          },
        },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
      ],
    },
    post_processor: { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
    model: {
      type: "BPE",
      vocab: Object.fromEntries(words.map((word, id) => [word, id])),
      merges,
      unk_token: null,
      fuse_unk: false,
      byte_fallback: false,
    },
  };
  return huggingFaceTokenizer(
    { "tokenizer.json": JSON.stringify(json), "tokenizer_config.json": JSON.stringify(config), ...files },
    "m",
  );
}

describe("a byte-level tokenizer", () => {
  test("any text comes back; special tokens are one id", async () => {
    const tokenizer = await byteLevel({ eos_token: "<|im_end|>", pad_token: { content: "<|endoftext|>" } });
    expect(tokenizer).toMatchObject({ vocabSize: 262, bosId: undefined, eosIds: [261], padId: 259 });
    expect(tokenizer.encode("he the<|im_end|>")).toEqual([256, 258, 261]);
    expect(tokenizer.decode([256, 258, 261], { skipSpecial: true })).toBe("he the");
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        const composed = text.normalize("NFC");
        expect(tokenizer.decode(tokenizer.encode(composed))).toBe(composed);
      }),
    );
  });

  test("spaces before punctuation stay, whatever the config says", async () => {
    const tokenizer = await byteLevel({ clean_up_tokenization_spaces: true });
    expect(tokenizer.decode(tokenizer.encode("a , b . do n't"))).toBe("a , b . do n't");
  });

  test("part of a character is one U+FFFD, and whole again with its rest", async () => {
    const tokenizer = await byteLevel({});
    const ids = tokenizer.encode("☃");
    expect(ids).toEqual([0xe2, 0x98, 0x83]);
    expect(tokenizer.decode(ids.slice(0, 2))).toBe("\ufffd");
    expect(tokenizer.decode(ids)).toBe("☃");
  });
});

describe("chat templates", () => {
  const chatml =
    "{%- for message in messages %}\n{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}\n{%- endfor %}\n{%- if add_generation_prompt %}\n{{- '<|im_start|>assistant\\n' }}\n{%- endif %}";
  const messages = [
    { role: "system", content: "Be brief." },
    { role: "user", content: "2+2?" },
  ];
  const rendered = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2+2?<|im_end|>\n";

  test("from the config, from a list in it, from a file that wins over it", async () => {
    for (const tokenizer of [
      await byteLevel({ chat_template: chatml }),
      await byteLevel({
        chat_template: [
          { name: "tool_use", template: "no" },
          { name: "default", template: chatml },
        ],
      }),
      await byteLevel({ chat_template: "no" }, { "chat_template.jinja": chatml }),
    ]) {
      expect(tokenizer.hasChatTemplate).toBe(true);
      expect(tokenizer.chat(messages)).toBe(rendered);
      const prompt = tokenizer.chat(messages, { addGenerationPrompt: true });
      expect(prompt).toBe(`${rendered}<|im_start|>assistant\n`);
      expect(tokenizer.encode(prompt, { addSpecial: false }).filter((id) => id === 260)).toHaveLength(3);
    }
  });

  test("a template sees special tokens, further variables, range and None, but no clock", async () => {
    const template =
      "{{ eos_token }}|{% if tools is none %}no tools{% endif %}|{% for k in range(1, 4) %}{{ k }}{% endfor %}|{{ enable_thinking }}|{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}no clock{% endif %}";
    const tokenizer = await byteLevel({ eos_token: "<|im_end|>", chat_template: template });
    expect(tokenizer.chat([], { variables: { enable_thinking: "yes" } })).toBe("<|im_end|>|no tools|123|yes|no clock");
  });

  test("what a template refuses, a template that does not parse, and none at all", async () => {
    const say = async (template: unknown) => {
      const tokenizer = await byteLevel({ chat_template: template });
      try {
        tokenizer.chat(messages);
      } catch (error) {
        expect(error).toBeInstanceOf(CohortError);
        return (error as CohortError).message;
      }
      throw new Error("nothing was refused");
    };
    expect(await say("{{ raise_exception('roles must alternate') }}")).toMatch(/refuses: roles must alternate/);
    expect(await say("{% if %}")).toMatch(/the chat template refuses/);
    expect(await say(undefined)).toMatch(/m has no chat template/);
  });
});

describe("the tokenizers for self-made models", () => {
  const characters = characterTokenizer("abc é☃🙂");

  test("any text over the alphabet comes back", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(..."abc é☃🙂")), (list) => {
        const text = list.join("");
        const ids = characters.encode(text);
        expect(ids).toHaveLength(list.length + 1);
        expect(ids[0]).toBe(characters.bosId);
        expect(characters.decode(ids, { skipSpecial: true })).toBe(text);
        expect(characters.decode(characters.encode(text, { addSpecial: false }))).toBe(text);
      }),
    );
    expect(characters.vocabSize).toBe(10);
    expect(characters.decode([1, 3, 2, 0])).toBe("<bos>a<eos><pad>");
  });

  test("a character outside the alphabet is named", () => {
    expect(() => characters.encode("abX")).toThrow(/characterTokenizer.encode: "X" at 2 is not in the alphabet/);
    expect(() => characterTokenizer("aba")).toThrow(/"a" is there twice/);
    expect(() => characterTokenizer(["ab"])).toThrow(/"ab" is not one character/);
    expect(() => characterTokenizer("")).toThrow(/alphabet is empty/);
  });

  test("bytes: any text comes back, part of a character is U+FFFD", () => {
    const bytes = byteTokenizer();
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        expect(bytes.decode(bytes.encode(text), { skipSpecial: true })).toBe(text);
      }),
    );
    expect(bytes.vocabSize).toBe(259);
    expect(bytes.decode([...bytes.encode("a☃").slice(0, -1), 2], { skipSpecial: true })).toBe("a\ufffd");
    expect(bytes.decode(bytes.encode("\ufeffa", { addSpecial: false }))).toBe("\ufeffa");
  });

  test("they save and load", async () => {
    for (const tokenizer of [characters, byteTokenizer()]) {
      const storage = memoryStorage();
      for (const [name, text] of Object.entries(tokenizer.files())) await storage.write(`m/${name}`, text);
      const again = await loadTokenizer(storage, "m");
      expect(again.encode("abc")).toEqual(tokenizer.encode("abc"));
      expect(again.vocabSize).toBe(tokenizer.vocabSize);
      expect(() => again.chat([])).toThrow(/no chat template/);
    }
  });
});

test("missing and damaged tokenizer files are refused by name", async () => {
  const load = (files: Record<string, string>) =>
    loadTokenizer(memoryStorage({ "m/config.json": "{}", ...files }), "m");
  await expect(load({})).rejects.toThrow(/m has no tokenizer.json/);
  await expect(load({ "m/tokenizer.json": "{" })).rejects.toThrow(/m\/tokenizer.json: not JSON/);
  await expect(load({ "m/tokenizer.json": "{}" })).rejects.toThrow(/m\/tokenizer.json: cannot be used/);
  await expect(load({ "m/cohort-tokenizer.json": '{"type":"word"}' })).rejects.toThrow(
    /cohort-tokenizer.json: not a tokenizer/,
  );
  for (const text of ["{}", '{"model":{"type":"BPE"}}', "[]", '{"model":7}']) {
    await expect(load({ "m/tokenizer.json": text })).rejects.toBeInstanceOf(CohortError);
  }
});
