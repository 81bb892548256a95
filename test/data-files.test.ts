/** Data sets from files: formats, JSON lines and parquet, what is refused and how, and what a configuration says of them. */
import { parquetWriteBuffer } from "hyparquet-writer";
import { describe, expect, test } from "vitest";
import { parseConfig, taskName } from "../core/config.ts";
import type { DataFormat } from "../core/data/example.ts";
import { parseRows } from "../core/data/lines.ts";
import { dataSource } from "../core/data/source.ts";
import { type Learned, tokenize } from "../core/data/tokens.ts";
import { byteTokenizer } from "../core/model/tokenizer.ts";
import { memoryStorage } from "../core/storage.ts";
import { openDataSet } from "../hosts/data-set.ts";

const tokenizer = byteTokenizer();
const encoder = { tokenizer, stopIds: tokenizer.eosIds, context: 64 };
const lines = (...rows: unknown[]) => rows.map((row) => JSON.stringify(row)).join("\n");
const read = (text: string, format: DataFormat | "auto" = "auto") =>
  dataSource({ name: "set", rows: parseRows(text, "set.jsonl"), format });
/** Text that is learned, and text before it. */
const shown = ({ ids, from, mask }: Learned) => [
  tokenizer.decode(ids.slice(0, from), { skipSpecial: true }),
  tokenizer.decode(
    ids.slice(from).filter((_, k) => mask[k]),
    { skipSpecial: true },
  ),
];

describe("formats", () => {
  const user = { role: "user", content: "2+3?" };
  const assistant = { role: "assistant", content: "5" };
  const cases: [string, Record<string, unknown>, DataFormat, string[][]][] = [
    ["text", { text: "ab" }, "text", [["", "ab"]]],
    ["prompt and completion", { prompt: "2+3=", completion: "5" }, "prompt-completion", [["2+3=", "5"]]],
    ["a labelled completion", { prompt: "2+3=", completion: "5", label: true }, "unpaired", [["2+3=", "5"]]],
    [
      "a preference",
      { prompt: "2+3=", chosen: "5", rejected: "6" },
      "preference",
      [
        ["2+3=", "5"],
        ["2+3=", "6"],
      ],
    ],
    [
      "a preference whose prompt is what both begin with",
      { chosen: "say yes", rejected: "say no" },
      "preference",
      [
        ["say", " yes"],
        ["say", " no"],
      ],
    ],
  ];
  test.each(cases)("%s", (_, row, format, want) => {
    const source = read(lines(row));
    expect(source.format).toBe(format);
    expect(tokenize(source.train[0], encoder).map(shown)).toEqual(want);
  });

  test("a completion ends with the stop token, and that is learned too", () => {
    const [{ ids, mask }] = tokenize(read(lines({ prompt: "a", completion: "b" })).train[0], encoder);
    expect(ids.at(-1)).toBe(tokenizer.eosIds[0]);
    expect(mask.at(-1)).toBe(1);
  });

  test("messages: what the assistant says is learned, what others say is not", () => {
    const chat = {
      ...tokenizer,
      chat: (messages: readonly { role: string; content?: unknown }[], o?: { addGenerationPrompt?: boolean }) =>
        messages.map((m) => `<${m.role[0]}>${m.content}\n`).join("") + (o?.addGenerationPrompt ? "<a>" : ""),
    };
    const chats = { ...encoder, tokenizer: chat as typeof tokenizer };
    const more = [user, assistant, { role: "user", content: "1+1?" }, { role: "assistant", content: "2" }];
    const [turns] = tokenize(read(lines({ messages: more })).train[0], chats);
    expect(shown(turns)).toEqual(["<u>2+3?\n<a>", "5\n2\n"]);
    const [pair] = tokenize(read(lines({ prompt: [user], completion: [assistant] })).train[0], chats);
    expect(shown(pair)).toEqual(["<u>2+3?\n<a>", "5\n"]);
  });

  test("passes visit every example once, in orders of their own", () => {
    const text = lines(...Array.from({ length: 40 }, (_, k) => ({ text: `t${k}` })));
    const source = read(text);
    const n = source.train.length;
    expect(n + source.heldout.length).toBe(40);
    expect(source.heldout.length).toBeGreaterThan(0);
    const pass = (start: number) => source.examples(n, 7, start).map((e) => source.train.indexOf(e));
    expect(new Set(pass(0)).size).toBe(n);
    expect(new Set(pass(n)).size).toBe(n);
    expect(pass(0)).not.toEqual(pass(n));
    expect(source.examples(3, 7, n - 1)).toEqual(source.examples(n + 2, 7, 0).slice(n - 1));
  });
});

describe("what is refused", () => {
  const refused: [string, string, RegExp][] = [
    ["an empty file", "\n\n", /set\.jsonl: no example in it — write at least one row/],
    ["a line that is not JSON", '{"text":"a"}\n{"text":', /set\.jsonl, line 2: not JSON: \{"text":/],
    ["a line that is no object", "[1]", /set\.jsonl, line 1: \[1\] is not an object/],
    [
      "a misspelt column",
      lines({ prompt: "a", chosen: "b", rejcted: "c" }),
      /line 1: no "rejected".*rename "rejcted" to "rejected"/,
    ],
    ["unknown columns", lines({ question: "a", answer: "b" }), /no "prompt".*\(question, answer\) — the formats are/],
    ["only a prompt", lines({ prompt: "a" }), /only a prompt.*train from rollouts/],
    [
      "chosen as rejected",
      lines({ prompt: "a", chosen: "b", rejected: "b" }),
      /line 1: chosen and rejected are the same/,
    ],
    ["no common beginning", lines({ chosen: "b", rejected: "c" }), /do not begin alike — give the column "prompt"/],
    [
      "a later row of another format",
      lines({ text: "a" }, { prompt: "b" }),
      /line 2: no "text" among the columns \(prompt\)/,
    ],
    ["a label that is none", lines({ prompt: "a", completion: "b", label: "good" }), /"label" is "good" — give true/],
    [
      "texts beside messages",
      lines({ prompt: "a", completion: [{ role: "assistant" }] }),
      /prompt is text, completion is messages/,
    ],
    ["no turn of the assistant", lines({ messages: [{ role: "user", content: "a" }] }), /no message of the assistant/],
    ["a text that is none", lines({ prompt: 3, completion: "b" }), /"prompt" is 3 — give a text, or messages/],
  ];
  test.each(refused)("%s", (_, text, message) => expect(() => read(text)).toThrow(message));

  test("what does not fit the context, with the row that does not", () => {
    const long = (row: Record<string, string>) => () => tokenize(read(lines(row)).train[0], { ...encoder, context: 8 });
    expect(long({ prompt: "0123456789", completion: "b" })).toThrow(/line 1.*its prompt has \d+ tokens.*context is 8/);
    expect(long({ prompt: "a", completion: "0123456789" })).toThrow(/line 1.*\d+ tokens with its prompt.*shorten it/);
  });
});

describe("parquet", () => {
  const messages = [
    [
      { role: "user", content: "hi" },
      { role: "assistant", content: "hello" },
    ],
    [
      { role: "user", content: "bye" },
      { role: "assistant", content: "see you" },
    ],
  ];
  async function open(
    columnData: Parameters<typeof parquetWriteBuffer>[0]["columnData"],
    schema?: Parameters<typeof parquetWriteBuffer>[0]["schema"],
  ) {
    const storage = memoryStorage();
    const bytes = parquetWriteBuffer({ columnData, schema });
    await storage.write("set.parquet", new Uint8Array(bytes));
    const { task } = parseConfig({ task: { data: "set.parquet", heldout: "set.parquet" } });
    return openDataSet(task as never, "set", storage);
  }

  test("gives its rows, without columns that no format reads", async () => {
    const rows = ["3", "41", "5"].map((n, k) => ({ prompt: `${n}+1=`, completion: `${n}!`, label: k === 1 }));
    const column = (name: "prompt" | "completion" | "label") => ({ name, data: rows.map((r) => r[name]) });
    const source = await open([
      column("prompt"),
      column("completion"),
      column("label"),
      { name: "id", data: [1n, 2n, 3n], type: "INT64" },
    ]);
    const plain = ({ where: _, ...rest }: { where: string }) => rest;
    expect(source.train.map(plain)).toEqual(rows.map((row) => ({ ...row, format: "unpaired" })));
    expect(source.train[0].where).toBe("set.parquet, row 1");
  });

  test("labels that are whole numbers, and lists of messages", async () => {
    const numbers = await open([
      { name: "prompt", data: ["a", "b"] },
      { name: "completion", data: ["c", "d"] },
      { name: "label", data: [1n, 0n], type: "INT64" },
    ]);
    expect(numbers.train.map((e) => e.format === "unpaired" && e.label)).toEqual([true, false]);
    // As other libraries write a list of structs.
    const text = { type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" } as const;
    const schema = [
      { name: "schema", num_children: 1 },
      { name: "messages", repetition_type: "OPTIONAL", num_children: 1, converted_type: "LIST" },
      { name: "list", repetition_type: "REPEATED", num_children: 1 },
      { name: "element", repetition_type: "OPTIONAL", num_children: 2 },
      { name: "role", ...text },
      { name: "content", ...text },
    ] as const;
    const chats = await open([{ name: "messages", data: messages }], [...schema]);
    expect(chats.train.map((e) => e.format === "messages" && e.messages)).toEqual(messages);
  });

  test("refuses what is no parquet file, and names columns that it did not read", async () => {
    const storage = memoryStorage();
    await storage.write("set.parquet", "not parquet at all");
    const task = { data: "set.parquet", format: "auto", heldout: null } as const;
    await expect(openDataSet(task, "set", storage)).rejects.toThrow(
      /set\.parquet: not a parquet file.*give JSON lines/,
    );
    await expect(open([{ name: "question", data: ["a"] }])).rejects.toThrow(/row 1: no "prompt".*\(question\)/);
  });
});

describe("the configuration", () => {
  test("takes a data set as task, with paths from its folder", () => {
    const config = parseConfig({ task: { data: "pairs.parquet", heldout: "more.jsonl" } }, { base: "/there" });
    expect(config.task).toEqual({ data: "/there/pairs.parquet", format: "auto", heldout: "/there/more.jsonl" });
    expect(taskName(config)).toBe("pairs");
  });
  test("refuses what a data set has not", () => {
    expect(() => parseConfig({ task: { data: "a.jsonl", reward: "b.mjs" } })).toThrow(/task\.reward/);
    expect(() => parseConfig({ task: { data: "a.jsonl", format: "pairs" } })).toThrow(/task\.format is "pairs"/);
  });
});
